"use strict";

const { expect } = require("chai");
const journal = require("../lib/journal");
const report = require("../lib/report");

describe("a journal", function () {
  beforeEach(function () {
    this.journal = journal.create();
    this.journal.chart.open("bank", "asset");
    this.journal.chart.open("rent", "expense");
    this.journal.chart.open("wages", "income");
    this.journal.chart.open("visa", "credit", { limit: 500 });
  });

  it("adds up by kind", function () {
    this.journal.transact([["bank", 1200.1], ["wages", -1200.1]], "May");
    this.journal.transact([["rent", 700.2], ["bank", -700.2]], "rent");
    expect(this.journal.chart.totals()).to.deep.equal({ asset: 499.89999999999986, expense: 700.2, income: 1200.1, credit: 0 });
  });

  it("takes what balances but for rounding", function () {
    this.journal.transact([["bank", 0.1], ["rent", 0.2], ["wages", -0.3]], "odd");
    expect(this.journal.count()).to.equal(1);
  });

  it("says by how much it is off", function () {
    expect(() => this.journal.transact([["bank", 12345.5], ["wages", -1]], "bad")).to.throw("out of balance by 12,344.50");
  });

  describe("with a credit card", function () {
    it("knows the limit", function () {
      this.journal.transact([["visa", -500], ["rent", 500]], "all of it");
      expect(() => this.journal.transact([["visa", -0.01], ["rent", 0.01]], "more")).to.throw(RangeError, "over the limit of 500");
    });

    it("can be reversed", function () {
      this.journal.transact([["visa", -200], ["rent", 200]], "chairs");
      this.journal.reverse("chairs");
      expect(this.journal.chart.find("visa").balance).to.equal(0);
      expect(report(this.journal.chart.find("visa"))).to.equal("chairs             -200.00 -200.00\nreversal of chairs 200.00 0.00");
    });
  });

  it("names the accounts that it knows", function () {
    expect(() => this.journal.transact([["bank", 1], ["wagse", -1]], "typo")).to.throw("known: bank, rent, visa, wages");
  });
});
