import assert from "node:assert/strict";
import { test } from "node:test";

import { distance, follow, remaining } from "../../bandeezy/static/app.js";

test("what may still be written is told near the end only", () => {
  assert.equal(remaining(0, 400), "");
  assert.equal(remaining(300, 400), "");
  assert.equal(remaining(301, 400), "99 left");
  assert.equal(remaining(400, 400), "0 left");
});

test("an evening is so many days away", () => {
  assert.equal(distance("2030-03-31", "2030-03-31"), "today");
  assert.equal(distance("2030-04-01", "2030-03-31"), "tomorrow");
  assert.equal(distance("2030-04-10", "2030-03-31"), "in 10 days");
  assert.equal(distance("2030-03-30", "2030-03-31"), "over");
});

test("following sends the token and tells what the server says", async () => {
  const sent = [];
  const server = async (path, options) => {
    sent.push([path, options.headers["X-CSRF-Token"], options.body]);
    return { ok: true, json: async () => ({ following: ["folk"] }) };
  };
  assert.equal(await follow("folk", "abc", server), true);
  assert.equal(await follow("jazz", "abc", server), false);
  assert.deepEqual(sent[0], ["/api/favourites", "abc", "genre=folk"]);
});

test("a refusal is an error", async () => {
  await assert.rejects(follow("folk", "abc", async () => ({ ok: false, status: 403 })), /403/);
});
