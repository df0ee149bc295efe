const hive = require("./hive");

const FRAMES = [
  { name: "A", grams: 1650 },
  { name: "B", grams: 2900 },
  { name: "C", grams: 1649 },
  { name: "D", grams: 2100 },
];

test("an empty frame holds no honey", () => {
  expect(hive.honey(450)).toBe(0);
  expect(hive.honey(400)).toBe(0);
});

describe("ready", () => {
  test("the heaviest frame comes first", () => {
    expect(hive.ready(FRAMES).map((frame) => frame.name)).toEqual(["B", "D", "A"]);
  });

  test("the record stays in its order", () => {
    hive.ready(FRAMES);
    expect(FRAMES.map((frame) => frame.name)).toEqual(["A", "B", "C", "D"]);
  });
});

describe("harvest", () => {
  test("half the honey stays for the winter, but for 9 kg at most", () => {
    expect(hive.harvest([{ grams: 2450 }, { grams: 1450 }])).toBe(1500);
    expect(hive.harvest(Array(10).fill({ grams: 2950 }))).toBe(16000);
  });

  test("an empty hive gives nothing", () => {
    expect(hive.harvest([])).toBe(0);
  });
});
