import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { Agenda } from "../src/agenda.js";
import { Rule } from "../src/recurrence.js";
import { assertDates } from "./helpers.js";

describe("agenda", () => {
  let agenda;

  beforeEach(() => {
    agenda = new Agenda();
    agenda.add("standup", "2024-02-26", new Rule("daily", { until: "2024-03-01" }));
    agenda.add("dentist", "2024-02-29");
  });

  it("sorts what is on a day", () => {
    assert.deepEqual(agenda.on("2024-02-29"), ["dentist", "standup"]);
  });

  it("knows the days between", () => {
    assertDates(agenda.between("2024-02-28", "2024-03-01"), "2024-02-28 2024-02-29 2024-03-01");
  });

  it("finds free days", () => {
    assertDates(agenda.free("2024-02-28", "2024-03-03"), "2024-03-02 2024-03-03");
  });
});
