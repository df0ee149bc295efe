'use strict';

const { compilePattern, matchPattern } = require('./pattern');

class RouteTable {
  #routes = [];
  #sorted = true;

  constructor(options = {}) {
    this.options = options;
  }

  get size() {
    return this.#routes.length;
  }

  add(method, pattern, handlers, name) {
    const compiled = compilePattern(pattern, this.options);
    const route = { method: method.toUpperCase(), compiled, handlers, name, order: this.#routes.length };
    this.#routes.push(route);
    this.#sorted = false;
    return route;
  }

  #sort() {
    if (this.#sorted) return;
    this.#routes.sort((left, right) => {
      if (left.compiled.length !== right.compiled.length) return right.compiled.length - left.compiled.length;
      if (left.compiled.weight !== right.compiled.weight) return right.compiled.weight - left.compiled.weight;
      return left.order - right.order;
    });
    this.#sorted = true;
  }

  named(name) {
    return this.#routes.find((route) => route.name === name);
  }

  lookup(method, path) {
    this.#sort();
    const allowed = new Set();
    for (const route of this.#routes) {
      const params = matchPattern(route.compiled, path);
      if (params === null) continue;
      if (route.method === method || route.method === 'ALL' || (method === 'HEAD' && route.method === 'GET')) {
        return { route, params, allowed: [] };
      }
      allowed.add(route.method);
      if (route.method === 'GET') allowed.add('HEAD');
    }
    return { route: null, params: {}, allowed: [...allowed].sort() };
  }
}

module.exports = { RouteTable };
