'use strict';

function parseAccept(header) {
  return header
    .split(',')
    .map((part, position) => {
      const [range, ...rest] = part.trim().split(';');
      let quality = 1;
      for (const parameter of rest) {
        const [name, value] = parameter.trim().split('=');
        if (name === 'q') quality = Number.parseFloat(value);
      }
      return { range: range.trim().toLowerCase(), quality, position };
    })
    .filter((entry) => entry.range !== '');
}

function specificity(range) {
  if (range === '*/*') return 0;
  if (range.endsWith('/*')) return 1;
  return 2;
}

function covers(range, type) {
  if (range === '*/*' || range === type) return true;
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1));
}

function qualityOf(type, accepted) {
  let best = null;
  for (const entry of accepted) {
    if (!covers(entry.range, type)) continue;
    if (best === null || specificity(entry.range) > specificity(best.range)) best = entry;
  }
  return best;
}

function chooseType(header, offered) {
  if (!header) return offered[0] ?? null;
  const accepted = parseAccept(header);
  const ranked = offered
    .map((type, index) => ({ type, index, entry: qualityOf(type, accepted) }))
    .filter(({ entry }) => entry && entry.quality > 0)
    .sort((a, b) => b.entry.quality - a.entry.quality || a.entry.position - b.entry.position || a.index - b.index);
  return ranked.length ? ranked[0].type : null;
}

module.exports = { chooseType };
