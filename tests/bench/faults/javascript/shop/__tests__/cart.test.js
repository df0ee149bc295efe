const { Cart } = require("../lib/cart");
const { Stock } = require("../lib/stock");
const { buyAndGet, percent, tiered, best } = require("../lib/discounts");

const CATALOG = {
  tea: { price: "4.50 EUR" },
  cup: { price: "10.00 EUR", discount: percent(10) },
  spoon: { price: "1.00 EUR", discount: buyAndGet(2, 1) },
  jar: { price: "3.00 EUR", discount: tiered([{ from: 3, price: "2.50 EUR" }, { from: 10, price: "2.00 EUR" }]) },
  pot: { price: "20.00 EUR", discount: best(percent(5), buyAndGet(1, 1)) },
};

function expectTotal(cart, text) {
  expect(String(cart.total())).toBe(text);
}

describe("Cart", () => {
  let stock;
  let cart;

  beforeEach(() => {
    stock = new Stock({ tea: 5, cup: 4, spoon: 20, jar: 30, pot: 6 });
    cart = new Cart(CATALOG, stock);
  });

  test("adds up", () => {
    expectTotal(cart.add("tea", 2).add("cup"), "18.00 EUR");
  });

  test("gives every third spoon away", () => {
    expectTotal(cart.add("spoon", 5), "4.00 EUR");
  });

  test("knows tiers", () => {
    expectTotal(cart.add("jar", 12), "24.00 EUR");
  });

  test("takes the best discount", () => {
    expectTotal(cart.add("pot", 2), "20.00 EUR");
  });

  test("gives back what is removed", () => {
    cart.add("tea", 5).remove("tea", 2);
    expect(stock.left("tea")).toBe(2);
  });

  test("ships what was reserved", () => {
    expect(cart.add("cup", 3).checkout()).toEqual({ total: "27.00 EUR", shipped: { cup: 3 } });
    expect(stock.left("cup")).toBe(1);
  });

  test("refuses more than there is", () => {
    expect(() => cart.add("tea", 6)).toThrow("tea: 6 wanted, 5 left");
  });
});
