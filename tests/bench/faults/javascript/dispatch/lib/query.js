'use strict';

const MAX_DEPTH = 4;

function decode(text) {
  const spaced = text.replace(/\+/g, ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

function keyPath(key) {
  const open = key.indexOf('[');
  if (open <= 0) return [key];
  const path = [key.slice(0, open)];
  const rest = key.slice(open);
  const inner = /\[([^\]]*)\]/g;
  let match;
  while ((match = inner.exec(rest)) && path.length < MAX_DEPTH) {
    path.push(match[1]);
  }
  return path;
}

function assign(target, path, value) {
  let at = target;
  for (let i = 0; i < path.length - 1; i += 1) {
    const next = path[i + 1];
    const listy = next === '' || /^\d+$/.test(next);
    if (at[path[i]] === undefined || typeof at[path[i]] !== 'object') {
      at[path[i]] = listy ? [] : {};
    }
    at = at[path[i]];
  }
  const last = path[path.length - 1];
  if (last === '' && Array.isArray(at)) {
    at.push(value);
  } else if (Object.prototype.hasOwnProperty.call(at, last) && !Array.isArray(at)) {
    at[last] = [].concat(at[last], value);
  } else {
    at[last] = value;
  }
}

function parseQuery(text) {
  const result = {};
  for (const pair of text.replace(/^\?/, '').split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? '' : pair.slice(equals + 1);
    assign(result, keyPath(decode(key)), decode(value));
  }
  return result;
}

function stringifyQuery(values) {
  const pairs = [];
  const walk = (key, value) => {
    if (value === undefined) return;
    if (Array.isArray(value)) value.forEach((item) => walk(`${key}[]`, item));
    else if (value && typeof value === 'object') {
      for (const [name, inner] of Object.entries(value)) walk(`${key}[${name}]`, inner);
    } else pairs.push(`${encodeURIComponent(key)}=${encodeURIComponent(value ?? '')}`);
  };
  for (const [key, value] of Object.entries(values)) walk(key, value);
  return pairs.length ? '?' + pairs.join('&') : '';
}

module.exports = { parseQuery, stringifyQuery };
