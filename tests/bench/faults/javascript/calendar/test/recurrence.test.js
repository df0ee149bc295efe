import assert from "node:assert/strict";
import { test } from "node:test";
import { weekday } from "../src/days.js";
import { parseDate } from "../src/parse.js";
import { Rule } from "../src/recurrence.js";
import { assertDates, assertRefused } from "./helpers.js";

test("a month's end is kept", () => {
  const rule = new Rule("monthly");
  assertDates(rule.take("2023-12-31", 3), "2023-12-31 2024-01-31 2024-02-29");
});

test("weekends are skipped", () => {
  const rule = new Rule("daily", { skipWeekends: true });
  assertDates(rule.take("2024-03-01", 3), "2024-03-01 2024-03-04 2024-03-05");
});

test("every second week over a year's end", () => {
  assertDates(new Rule("weekly", { every: 2 }).take("2023-12-20", 2), "2023-12-20 2024-01-03");
});

test("the first of January 2024 is a Monday", () => {
  assert.equal(weekday(parseDate("2024-01-01")), 0);
});

test("a day that is not there is refused", () => {
  assertRefused(() => parseDate("2023-02-29"), /no such day/);
  assertRefused(() => parseDate("2023-13-01"), /no such month/);
});
