"use strict";

const money = require("./money");

const pad = (text, width) => text + " ".repeat(Math.max(0, width - text.length));

module.exports = function report(account) {
  const rows = account.statement();
  const width = Math.max(4, ...rows.map((row) => row.memo.length));
  return rows.map((row) => `${pad(row.memo, width)} ${money.format(row.amount)} ${money.format(row.running)}`).join("\n");
};
