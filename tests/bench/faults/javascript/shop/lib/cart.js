const { Money } = require("./money");
const discounts = require("./discounts");

class Cart {
  constructor(catalog, stock) {
    this.catalog = catalog;
    this.stock = stock;
    this.lines = new Map();
  }

  add(sku, count = 1) {
    const item = this.catalog[sku];
    if (!item) {
      throw new ReferenceError(`no such article: ${sku}`);
    }
    this.stock.reserve(sku, count);
    const line = this.lines.get(sku) || { sku, price: Money.parse(item.price), count: 0 };
    line.count += count;
    this.lines.set(sku, line);
    return this;
  }

  remove(sku, count = 1) {
    const line = this.lines.get(sku);
    if (!line) {
      return this;
    }
    const gone = Math.min(count, line.count);
    this.stock.release(sku, gone);
    line.count -= gone;
    if (line.count === 0) {
      this.lines.delete(sku);
    }
    return this;
  }

  priceOf(line) {
    const discount = this.catalog[line.sku].discount || discounts.none;
    return discount(line);
  }

  total() {
    return [...this.lines.values()]
      .map((line) => this.priceOf(line))
      .reduce((sum, price) => sum.plus(price), new Money(0));
  }

  checkout() {
    const total = this.total();
    const shipped = {};
    for (const sku of this.lines.keys()) {
      shipped[sku] = this.stock.ship(sku);
    }
    this.lines.clear();
    return { total: total.toString(), shipped };
  }
}

module.exports = { Cart };
