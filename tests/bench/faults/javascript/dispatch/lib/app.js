'use strict';

const { RouteTable } = require('./table');
const { compose, scoped } = require('./compose');
const { parseQuery, stringifyQuery } = require('./query');
const { buildPath } = require('./pattern');
const { parseCookies, serializeCookie } = require('./cookies');
const { chooseType } = require('./negotiate');

const RENDERERS = {
  'application/json': (body) => JSON.stringify(body),
  'text/plain': (body) => (typeof body === 'object' ? Object.entries(body).map(([k, v]) => `${k}: ${v}`).join('\n') : String(body)),
  'text/html': (body) => `<pre>${JSON.stringify(body)}</pre>`,
};

class HttpError extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

class App {
  constructor(options) {
    this.table = new RouteTable(options);
    this.layers = [];
  }

  use(prefix, ...layers) {
    if (typeof prefix === 'function') this.layers.push(prefix, ...layers);
    else this.layers.push(...layers.map((layer) => scoped(prefix, layer)));
    return this;
  }

  route(method, pattern, ...handlers) {
    const name = typeof handlers[0] === 'string' ? handlers.shift() : undefined;
    this.table.add(method, pattern, handlers, name);
    return this;
  }

  url(name, params = {}, query = {}) {
    const route = this.table.named(name);
    if (!route) throw new Error(`no route is named ${name}`);
    return buildPath(route.compiled.pattern, params) + stringifyQuery(query);
  }

  async handle(request) {
    const [path, search = ''] = request.url.split('?');
    const context = {
      method: request.method || 'GET',
      path,
      query: parseQuery(search),
      cookies: parseCookies(request.headers?.cookie),
      state: {},
      status: 200,
      headers: {},
      setCookie(name, value, options) {
        (context.headers['set-cookie'] ??= []).push(serializeCookie(name, value, options));
      },
    };
    try {
      context.body = await compose(this.layers)(context, (inner) => this.#dispatch(inner));
      return this.#finish(context, request);
    } catch (error) {
      return { status: error.status || 500, headers: error.headers || {}, body: error.message };
    }
  }

  async #dispatch(context) {
    const { route, params, allowed } = this.table.lookup(context.method, context.path);
    if (!route) {
      if (allowed.length) throw new HttpError(405, 'method not allowed', { allow: allowed.join(', ') });
      throw new HttpError(404, `nothing at ${context.path}`);
    }
    context.params = params;
    return compose(route.handlers)(context);
  }

  #finish(context, request) {
    const type = chooseType(request.headers?.accept, Object.keys(RENDERERS));
    if (type === null) throw new HttpError(406, 'not acceptable');
    const empty = context.body === undefined;
    return {
      status: empty && context.status === 200 ? 204 : context.status,
      headers: { ...context.headers, ...(empty ? {} : { 'content-type': type }) },
      body: context.method === 'HEAD' || empty ? '' : RENDERERS[type](context.body),
    };
  }
}

module.exports = { App, HttpError };
