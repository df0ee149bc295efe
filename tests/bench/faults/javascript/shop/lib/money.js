class Money {
  constructor(cents, currency = "EUR") {
    this.cents = cents;
    this.currency = currency;
  }

  static parse(text) {
    const [, amount, currency] = /^([\d.]+) ([A-Z]{3})$/.exec(text) || [];
    if (!amount) {
      throw new SyntaxError(`not money: ${text}`);
    }
    return new Money(Math.round(Number(amount) * 100), currency);
  }

  plus(other) {
    this.mustMatch(other);
    return new Money(this.cents + other.cents, this.currency);
  }

  times(factor) {
    return new Money(Math.round(this.cents * factor), this.currency);
  }

  mustMatch(other) {
    if (this.currency !== other.currency) {
      throw new TypeError(`${this.currency} and ${other.currency} do not mix`);
    }
  }

  toString() {
    return `${(this.cents / 100).toFixed(2)} ${this.currency}`;
  }
}

module.exports = { Money };
