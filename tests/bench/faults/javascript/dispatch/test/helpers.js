'use strict';

const { App } = require('../lib');

function shop() {
  const app = new App();
  const log = [];
  app.use(async (context, next) => {
    log.push(`> ${context.path}`);
    const result = await next();
    log.push(`< ${context.status}`);
    return result;
  });
  app.use('/admin', (context, next) => {
    if (!context.cookies.get('token')) {
      context.status = 401;
      return { error: 'log in first' };
    }
    return next();
  });
  app.route('GET', '/items', (context) => ({ filter: context.query }));
  app.route('GET', '/items/:id(\\d+)', 'item', (context) => ({ id: context.params.id }));
  app.route('GET', '/items/:slug', (context) => ({ slug: context.params.slug }));
  app.route('GET', '/items/new', () => ({ form: true }));
  app.route('POST', '/items', (context) => {
    context.status = 201;
    context.setCookie('last', 'a b', { maxAge: 90500, sameSite: 'none', path: '/' });
    return { made: 1 };
  });
  app.route('GET', '/files/*path', 'file', (context) => ({ path: context.params.path }));
  app.route('GET', '/report/:year?', 'report', (context) => ({ year: context.params.year ?? 'all' }));
  app.route('GET', '/admin/panel', (context) => ({ token: context.cookies.get('token') }));
  app.route('GET', '/fail', () => { throw new TypeError('boom'); }, (error, context, next) => {
    context.status = 503;
    return { caught: error.message };
  });
  return { app, log };
}

async function get(app, url, headers = {}) {
  const answer = await app.handle({ method: 'GET', url, headers: { accept: 'application/json', ...headers } });
  return { ...answer, json: answer.body && answer.body.startsWith('{') ? JSON.parse(answer.body) : null };
}

module.exports = { shop, get };
