"use strict";

const round = (amount) => Math.round(amount * 100) / 100;

function format(amount) {
  const sign = amount < 0 ? "-" : "";
  const [whole, cents] = Math.abs(amount).toFixed(2).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign}${grouped}.${cents}`;
}

module.exports = { round, format };
