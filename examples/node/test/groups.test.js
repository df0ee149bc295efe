import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as sky from "../sky.js";

const LINES = ["Polaris;1.98;UMi", "Sirius;-1.46;CMa", "Vega;0.03;Lyr", "Mizar;2.23;UMa", "Alcor;4.01;UMa"];

describe("byConstellation", () => {
  it("groups the names, constellations and stars in the order of the list", () => {
    const groups = sky.byConstellation(LINES.map(sky.parse));
    assert.deepEqual(Object.keys(groups), ["UMi", "CMa", "Lyr", "UMa"]);
    assert.deepEqual(groups.UMa, ["Mizar", "Alcor"]);
  });

  it("gives an empty object for an empty list", () => {
    assert.deepEqual(sky.byConstellation([]), {});
  });
});
