"use strict";

const { round, format } = require("./money");

function sum(lines) {
  return round(lines.reduce((total, [, amount]) => total + amount, 0));
}

function check(lines) {
  if (lines.length < 2) return "a transaction needs two lines";
  const off = sum(lines);
  if (off !== 0) return `out of balance by ${format(off)}`;
  return null;
}

function flipped([code, amount]) {
  return [code, -amount];
}

module.exports = { check, flipped, sum };
