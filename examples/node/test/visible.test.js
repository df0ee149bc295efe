import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as sky from "../sky.js";

const LINES = ["Polaris;1.98;UMi", "Sirius;-1.46;CMa", "Vega;0.03;Lyr", "Mizar;2.23;UMa", "Alcor;4.01;UMa"];

describe("visible", () => {
  it("lists the brightest first", () => {
    assert.deepEqual(sky.visible(LINES.map(sky.parse), 2), ["Sirius", "Vega", "Polaris"]);
  });
});
