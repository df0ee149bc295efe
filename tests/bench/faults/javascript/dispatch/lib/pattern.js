'use strict';

// Patterns: "/users/:id", "/files/*rest", "/v:version?/status", ":id(\\d+)".

const SEGMENT = /^([^:*(]*)(?::([A-Za-z_]\w*)(?:\(([^)]+)\))?(\?)?|\*([A-Za-z_]\w*)?)?$/;

const WEIGHTS = {
  literal: 4,
  constrained: 3,
  param: 2,
  optional: 1,
  wildcard: 0,
};

function escapeText(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

class PatternError extends Error {
  constructor(pattern, reason) {
    super(`bad pattern ${JSON.stringify(pattern)}: ${reason}`);
    this.name = 'PatternError';
    this.pattern = pattern;
  }
}

function splitPath(path) {
  const parts = path.split('/');
  if (parts[0] === '') parts.shift();
  if (parts[parts.length - 1] === '') parts.pop();
  return parts;
}

function kindOf(match) {
  const [, , name, constraint, optional, wildcard] = match;
  if (wildcard !== undefined) return 'wildcard';
  if (name === undefined) return 'literal';
  if (optional) return 'optional';
  return constraint ? 'constrained' : 'param';
}

function compilePattern(pattern, options = {}) {
  if (!pattern.startsWith('/')) {
    throw new PatternError(pattern, 'must start with a slash');
  }
  const names = [];
  let source = '^';
  let weight = 0;
  const parts = splitPath(pattern);
  parts.forEach((part, index) => {
    const match = SEGMENT.exec(part);
    if (!match) throw new PatternError(pattern, `segment ${index + 1} makes no sense`);
    const [, prefix, name, constraint, optional, wildcard] = match;
    const kind = part.includes('*') ? 'wildcard' : kindOf(match);
    if (kind === 'wildcard' && index < parts.length - 1) {
      throw new PatternError(pattern, 'a wildcard must come last');
    }
    const known = kind === 'wildcard' ? wildcard || '*' : name;
    if (known !== undefined) {
      if (names.includes(known)) throw new PatternError(pattern, `${known} stands there twice`);
      names.push(known);
    }
    weight = weight * 5 + WEIGHTS[kind];
    switch (kind) {
      case 'literal':
        source += '/' + escapeText(prefix);
        break;
      case 'wildcard':
        source += '/' + escapeText(prefix) + '(.*)';
        break;
      case 'optional':
        source += `(?:/${escapeText(prefix)}(${constraint || '[^/]+'}))?`;
        break;
      default:
        source += `/${escapeText(prefix)}(${constraint || '[^/]+'})`;
    }
  });
  source += options.strict ? '$' : '/?$';
  return { pattern, names, weight, length: parts.length, regexp: new RegExp(source, options.caseSensitive ? '' : 'i') };
}

function matchPattern(compiled, path) {
  const found = compiled.regexp.exec(path);
  if (!found) return null;
  const params = {};
  compiled.names.forEach((name, index) => {
    const value = found[index + 1];
    if (value !== undefined) params[name] = decodeURIComponent(value);
  });
  return params;
}

function buildPath(pattern, params) {
  const used = [];
  for (const part of splitPath(pattern)) {
    const [, prefix, name, , optional, wildcard] = SEGMENT.exec(part);
    const key = part.includes('*') ? wildcard || '*' : name;
    if (key === undefined) {
      used.push(prefix);
      continue;
    }
    const value = params[key];
    if (value === undefined || value === null) {
      if (optional) continue;
      throw new PatternError(pattern, `no value for ${key}`);
    }
    used.push(prefix + (part.includes('*') ? String(value) : encodeURIComponent(value)));
  }
  return '/' + used.join('/');
}

module.exports = { compilePattern, matchPattern, buildPath, splitPath, PatternError };
