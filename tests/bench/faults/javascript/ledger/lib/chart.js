"use strict";

const { Account, CreditAccount } = require("./account");

const SIGNS = { asset: 1, expense: 1, liability: -1, income: -1, credit: -1 };

function Chart() {
  this.accounts = {};
}

Chart.prototype.open = function (code, kind, options) {
  if (this.accounts[code]) throw new Error("account " + code + " exists");
  const account = kind === "credit" ? new CreditAccount(code, options.limit) : new Account(code, kind);
  this.accounts[code] = account;
  return account;
};

Chart.prototype.find = function (code) {
  const account = this.accounts[code];
  if (!account) {
    const known = Object.keys(this.accounts).sort();
    throw new Error(`no account ${code}; known: ${known.join(", ")}`);
  }
  return account;
};

Chart.prototype.totals = function () {
  const totals = {};
  for (const account of Object.values(this.accounts)) {
    totals[account.kind] = (totals[account.kind] || 0) + SIGNS[account.kind] * account.balance;
  }
  return totals;
};

module.exports = Chart;
