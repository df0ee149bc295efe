const { Money } = require("./money");

const percent = (rate) => (line) => line.price.times(line.count * (1 - rate / 100));

function buyAndGet(buy, free) {
  return (line) => {
    const groups = Math.floor(line.count / (buy + free));
    const rest = line.count - groups * (buy + free);
    return line.price.times(groups * buy + Math.min(rest, buy));
  };
}

function tiered(tiers) {
  const sorted = [...tiers].sort((a, b) => b.from - a.from);
  return (line) => {
    const tier = sorted.find(({ from }) => line.count >= from);
    return tier ? Money.parse(tier.price).times(line.count) : line.price.times(line.count);
  };
}

const none = (line) => line.price.times(line.count);

function best(...discounts) {
  return (line) =>
    discounts
      .map((discount) => discount(line))
      .reduce((least, price) => (price.cents < least.cents ? price : least));
}

module.exports = { percent, buyAndGet, tiered, none, best };
