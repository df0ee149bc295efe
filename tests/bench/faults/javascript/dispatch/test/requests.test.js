'use strict';

const test = require('node:test');
const assert = require('node:assert/strict');
const { shop, get } = require('./helpers');

test('query strings nest', async () => {
  const { app } = shop();
  const { json } = await get(app, '/items?color=red&size[min]=3&tag[]=a&tag[]=b&color=blue');
  assert.deepEqual(json.filter, { color: ['red', 'blue'], size: { min: '3' }, tag: ['a', 'b'] });
});

test('a plus is a space and bad escapes stay', async () => {
  const { app } = shop();
  const { json } = await get(app, '/items?q=red+hat&raw=%zz');
  assert.deepEqual(json.filter, { q: 'red hat', raw: '%zz' });
});

test('cookies are read and written', async () => {
  const { app } = shop();
  const inside = await get(app, '/admin/panel', { cookie: 'a=1; token="x%20y"; token=second' });
  assert.deepEqual(inside.json, { token: 'x y' });
  const made = await app.handle({ method: 'POST', url: '/items' });
  assert.deepEqual(made.headers['set-cookie'], ['last=a%20b; Max-Age=90; Path=/; SameSite=None; Secure']);
});

test('middleware wraps and is scoped', async () => {
  const { app, log } = shop();
  assert.equal((await get(app, '/administration')).status, 404);
  assert.equal((await get(app, '/admin/panel')).status, 401);
  assert.deepEqual(log, ['> /administration', '> /admin/panel', '< 401']);
});

test('errors reach the handlers for errors', async () => {
  const { app } = shop();
  const answer = await get(app, '/fail');
  assert.equal(answer.status, 503);
  assert.deepEqual(answer.json, { caught: 'boom' });
});

test('the best type is chosen', async () => {
  const { app } = shop();
  const choose = async (accept) => (await app.handle({ method: 'GET', url: '/items/7', headers: { accept } })).headers['content-type'];
  assert.equal(await choose('text/*;q=0.5, application/json;q=0.4'), 'text/plain');
  assert.equal(await choose('text/plain;q=0, text/*'), 'text/html');
  assert.equal(await choose('*/*;q=0.1, text/html'), 'text/html');
  assert.equal(await choose('image/png'), undefined);
});
