import assert from "node:assert/strict";
import { test } from "node:test";
import { bestFit, Depot } from "../src/depot.js";
import { fits } from "../src/geometry.js";
import { type Parcel, Shelf } from "../src/shelf.js";

const cube = (edge: number) => ({ width: edge, height: edge, depth: edge });

function parcel(id: string, edge: number, weight = 1, fragile = false): Parcel {
  return { id, size: cube(edge), weight, fragile };
}

function makeDepot(strategy?: typeof bestFit): Depot {
  return new Depot([new Shelf("top", cube(4), 10), new Shelf("low", cube(3), 100)], strategy);
}

function assertPlaces(depot: Depot, places: Record<string, string>) {
  for (const [id, name] of Object.entries(places)) {
    assert.equal(depot.find(id), name, `place of ${id}`);
  }
}

test("the first shelf that fits is taken", () => {
  const depot = makeDepot();
  assert.deepEqual(depot.store([parcel("a", 2), parcel("b", 3, 50)]), []);
  assertPlaces(depot, { a: "top", b: "low" });
});

test("the best shelf is the fullest", () => {
  const depot = makeDepot(bestFit);
  depot.store([parcel("a", 2)]);
  assertPlaces(depot, { a: "low" });
});

test("large ones go first and fragile ones last", () => {
  const depot = makeDepot();
  const refused = depot.store([parcel("glass", 4, 1, true), parcel("small", 1), parcel("large", 4)]);
  assert.deepEqual(refused, ["glass"]);
  assertPlaces(depot, { large: "top", small: "low" });
});

test("a parcel may be turned", () => {
  assert.ok(fits({ width: 5, height: 1, depth: 2 }, { width: 2, height: 5, depth: 1 }));
});

test("what is fetched makes room", () => {
  const depot = makeDepot();
  depot.store([parcel("a", 4)]);
  depot.fetch("a");
  assert.deepEqual(depot.store([parcel("b", 4)]), []);
});

test("a heavy one is refused", () => {
  const depot = makeDepot();
  assert.deepEqual(depot.store([parcel("anvil", 1, 101)]), ["anvil"]);
});
