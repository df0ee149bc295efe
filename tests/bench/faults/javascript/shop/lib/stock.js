class OutOfStock extends Error {
  constructor(sku, wanted, left) {
    super(`${sku}: ${wanted} wanted, ${left} left`);
    this.name = "OutOfStock";
    this.sku = sku;
  }
}

class Stock {
  constructor(counts = {}) {
    this.counts = new Map(Object.entries(counts));
    this.reserved = new Map();
  }

  left(sku) {
    return (this.counts.get(sku) || 0) - (this.reserved.get(sku) || 0);
  }

  reserve(sku, count) {
    if (count > this.left(sku)) {
      throw new OutOfStock(sku, count, this.left(sku));
    }
    this.reserved.set(sku, (this.reserved.get(sku) || 0) + count);
  }

  release(sku, count) {
    const held = this.reserved.get(sku) || 0;
    this.reserved.set(sku, Math.max(0, held - count));
  }

  ship(sku) {
    const held = this.reserved.get(sku) || 0;
    this.counts.set(sku, this.counts.get(sku) - held);
    this.reserved.delete(sku);
    return held;
  }
}

module.exports = { Stock, OutOfStock };
