import assert from "node:assert/strict";

export function assertDates(actual, expected, message) {
  assert.deepEqual([...actual], expected.split(" "), message);
}

export function assertRefused(action, pattern) {
  assert.throws(action, (error) => {
    assert.match(error.message, pattern);
    return true;
  });
}
