"use strict";

const Chart = require("./chart");
const rules = require("./rules");

exports.create = function create() {
  const chart = new Chart();
  const log = [];

  function transact(lines, memo) {
    const problem = rules.check(lines);
    if (problem) throw new Error(problem);
    for (const [code, amount] of lines) chart.find(code).post(amount, memo);
    log.push({ memo, lines });
    return exports;
  }

  function reverse(memo) {
    const original = log.find((item) => item.memo === memo);
    transact(original.lines.map(rules.flipped), `reversal of ${memo}`);
  }

  return { chart, transact, reverse, count: () => log.length };
};
