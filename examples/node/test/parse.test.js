import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as sky from "../sky.js";

describe("parse", () => {
  it("keeps the digits after the point", () => {
    assert.equal(sky.parse("Sirius;-1.46;CMa").magnitude, -1.46);
  });

  it("takes the blanks away", () => {
    assert.deepEqual(sky.parse(" Vega ; 0.03 ; Lyr "), { name: "Vega", magnitude: 0.03, constellation: "Lyr" });
  });
});
