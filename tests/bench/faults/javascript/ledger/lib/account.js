"use strict";

const { EventEmitter } = require("events");

class Account extends EventEmitter {
  #entries = [];

  constructor(code, kind) {
    super();
    this.code = code;
    this.kind = kind;
  }

  post(amount, memo = "") {
    this.#entries.push({ amount, memo });
    this.emit("posted", { account: this, amount });
  }

  get balance() {
    return this.#entries.reduce((sum, entry) => sum + entry.amount, 0);
  }

  statement() {
    let running = 0;
    return this.#entries.map(({ amount, memo }) => {
      running += amount;
      return { memo, amount, running };
    });
  }
}

class CreditAccount extends Account {
  constructor(code, limit) {
    super(code, "credit");
    this.limit = limit;
  }

  post(amount, memo) {
    if (this.balance + amount < -this.limit) {
      throw new RangeError(`${this.code}: over the limit of ${this.limit}`);
    }
    super.post(amount, memo);
  }
}

module.exports = { Account, CreditAccount };
