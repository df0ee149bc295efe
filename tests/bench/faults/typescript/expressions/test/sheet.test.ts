import { beforeEach, describe, expect, it } from "vitest";
import { Sheet } from "../src/sheet";

let sheet: Sheet;

beforeEach(() => {
  sheet = new Sheet().set("net", "12.5 * 4").set("tax", "net * rate / 100").set("rate", "20").set("gross", "net + tax");
});

function expectValues(want: Record<string, number>): void {
  expect(sheet.values()).toEqual(want);
}

describe("a sheet", () => {
  it("follows names", () => {
    expectValues({ net: 50, tax: 10, rate: 20, gross: 60 });
  });

  it("sees circles", () => {
    sheet.set("rate", "gross - net");
    expect(() => sheet.value("tax")).toThrow("circular: tax -> rate -> gross -> tax");
  });
});
