import assert from "node:assert/strict";
import { test } from "node:test";

import { EVERY, LONGEST, badge, createBell, delay, render } from "../../bandeezy/static/bell.js";

test("the badge is empty at zero and ends at 99+", () => {
  assert.equal(badge(0), "");
  assert.equal(badge(1), "1");
  assert.equal(badge(99), "99");
  assert.equal(badge(100), "99+");
});

test("failures make the waits longer, up to a bound", () => {
  assert.equal(delay(0), EVERY);
  assert.equal(delay(1), 2 * EVERY);
  assert.equal(delay(3), 8 * EVERY);
  assert.equal(delay(50), LONGEST);
});

test("a count is written into the bell", () => {
  const count = { textContent: "", hidden: true };
  const bell = {
    querySelector: (selector) => (selector === ".count" ? count : null),
    setAttribute: (name, value) => (bell[name] = value),
  };
  render(bell, 2);
  assert.deepEqual(count, { textContent: "2", hidden: false });
  assert.equal(bell["aria-label"], "2 unread notifications");
  render(bell, 1);
  assert.equal(bell["aria-label"], "1 unread notification");
  render(bell, 0);
  assert.deepEqual(count, { textContent: "", hidden: true });
  assert.equal(bell["aria-label"], "Notifications");
});

test("a poll shows the count and plans the next one", async () => {
  const shown = [];
  const planned = [];
  const poll = createBell(async () => 3, (count) => shown.push(count), (again, wait) => planned.push([again, wait]));
  await poll();
  assert.deepEqual(shown, [3]);
  assert.deepEqual(planned, [[poll, EVERY]]);
});

test("a poll that fails shows nothing, waits longer and recovers", async () => {
  const shown = [];
  const waits = [];
  let broken = true;
  const load = async () => {
    if (broken) throw new Error("offline");
    return 1;
  };
  const poll = createBell(load, (count) => shown.push(count), (_, wait) => waits.push(wait));
  await poll();
  await poll();
  broken = false;
  await poll();
  assert.deepEqual(shown, [1]);
  assert.deepEqual(waits, [2 * EVERY, 4 * EVERY, EVERY]);
});
