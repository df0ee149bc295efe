import { round } from "./money.js";

export const VAT = 0.19;

const gross = (net) => round(net * VAT);

export function discount(total, percent) {
  return round(total - total * percent / 100);
}

export class Cart {
  constructor() {
    this.lines = [];
  }

  add(name, price, count = 1) {
    this.lines.push({ name, price, count });
  }

  total() {
    return this.lines.reduce((sum, line) => sum + line.price, 0);
  }

  isEmpty() {
    return this.lines.length == 0;
  }
}

export default Cart;
