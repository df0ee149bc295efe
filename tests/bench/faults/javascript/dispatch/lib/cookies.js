'use strict';

const ATTRIBUTES = [
  ['maxAge', 'Max-Age', (value) => String(Math.floor(value / 1000))],
  ['domain', 'Domain', String],
  ['path', 'Path', String],
  ['expires', 'Expires', (value) => value.toUTCString()],
  ['sameSite', 'SameSite', (value) => value[0].toUpperCase() + value.slice(1).toLowerCase()],
];

function parseCookies(header) {
  const jar = new Map();
  for (const part of (header || '').split(';')) {
    const equals = part.indexOf('=');
    if (equals < 0) continue;
    const name = part.slice(0, equals).trim();
    let value = part.slice(equals + 1).trim();
    if (value.startsWith('"') && value.endsWith('"')) value = value.slice(1, -1);
    if (!jar.has(name)) jar.set(name, decodeURIComponent(value));
  }
  return jar;
}

function serializeCookie(name, value, options = {}) {
  const parts = [`${name}=${encodeURIComponent(value)}`];
  for (const [key, label, render] of ATTRIBUTES) {
    if (options[key] !== undefined) parts.push(`${label}=${render(options[key])}`);
  }
  if (options.httpOnly) parts.push('HttpOnly');
  if (options.secure || options.sameSite === 'none') parts.push('Secure');
  return parts.join('; ');
}

module.exports = { parseCookies, serializeCookie };
