import { describe, expect, it } from "vitest";
import { calculate } from "../src/evaluate";

const CASES: Array<[string, number]> = [
  ["1 + 2 * 3", 7],
  ["(1 + 2) * 3", 9],
  ["10 - 4 - 3", 3],
  ["2 ** 3 ** 2", 512],
  ["-2 ** 2", -4],
  ["7 % 4 / 2", 1.5],
];

describe("calculate", () => {
  it.each(CASES)("%s is %d", (source, want) => {
    expect(calculate(source)).toBe(want);
  });

  it("calls functions", () => {
    expect(calculate("max(1, min(9, 4), 3) + clamp(12, 0, 10)")).toBe(14);
  });

  it("knows means", () => {
    expect(calculate("mean(1, 2, 6)")).toBeCloseTo(3);
  });

  it("names what is missing", () => {
    expect(() => calculate("a + 1", { b: 2 })).toThrow("a is not defined");
  });

  it("refuses a lonely bracket", () => {
    expect(() => calculate("(1 + 2")).toThrow("expected close at 6, found the end");
  });
});
