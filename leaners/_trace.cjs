// Record which lines of a project each of its tests runs; loaded into the project's own test run from outside.
//
// lean-loop copies this file into a folder of its run, names it to Node with --require in NODE_OPTIONS, and starts the
// test command again. It knows when a test begins and ends under node --test, mocha, jest and vitest, and asks V8 for
// what ran in between; source maps lead back from what was compiled. _trace.py, which does this for Python, tells the
// settings in LEANLOOP_TRACE and the form of what is written; of V8 neither the order of calls nor the caller is known.
// Node 20.16 or newer, nothing but its own modules. Nothing is written anywhere else.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Module = require("node:module");
const { Session } = require("node:inspector");
const { fileURLToPath } = require("node:url");
const { threadId } = require("node:worker_threads");

const DEPENDENCIES = /(^|\/)(node_modules|bower_components|\.yarn|\.git)(\/|$)/;
const JEST_WRAPPER = "Object.<anonymous>";
const FAILING = 20;

/** The settings, or null; `files` are absolute. */
function readSettings() {
  const told = JSON.parse(process.env.LEANLOOP_TRACE || "null");
  if (!told) return null;
  const root = fs.realpathSync(told.root);
  return { ...told, root, files: new Set(told.files.map((file) => path.join(root, file))) };
}

/** Records what the project's functions do, test by test; tests may hold others, or run beside them. */
class Tracer {
  constructor({ root, files, folder, passing }) {
    Object.assign(this, { root, files, folder, passing, failing: FAILING });
    this.open = new Map();
    this.tests = [];
    process.on("exit", () => this.write());
    process.on("SIGTERM", () => process.exit());
  }

  post(method, given = {}) {
    let result;
    this.session.post(method, given, (_, told) => (result = told));
    return result;
  }

  /** Give the path of a script in the project, or "". */
  place(url) {
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    const inside = path.isAbsolute(file) ? path.relative(this.root, file).replaceAll("\\", "/") : "..";
    return inside.startsWith("..") || DEPENDENCIES.test(inside) ? "" : inside;
  }

  /** Take what ran since the last time; all tests that are open ran it. */
  take() {
    const ran = this.post("Profiler.takePreciseCoverage").result.filter((script) => this.place(script.url));
    for (const test of this.open.values()) test.ran.push(...ran);
  }

  /** Let V8 count from now on. */
  start() {
    if (this.session) return;
    this.session = new Session();
    this.session.connect();
    this.post("Profiler.enable");
    this.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Begin a test, whose key is anything that stands for it. */
  begin(key, file, name) {
    if (!this.files.has(fs.realpathSync(file)) || (this.passing <= 0 && this.failing <= 0)) return;
    this.take();
    this.open.set(key, { name, ran: [] });
  }

  end(key, failed) {
    const test = this.open.get(key);
    if (!test) return;
    this.take();
    this.open.delete(key);
    const left = failed ? this.failing-- : this.passing--;
    if (left > 0 && failed !== undefined) this.tests.push({ ...test, failed });
  }

  /** Write what was recorded; a test that has not ended counts as failed. */
  write() {
    for (const key of [...this.open.keys()]) this.end(key, true);
    if (!this.tests.length) return;
    const scripts = this.scripts();
    for (const { scriptId, functions } of this.tests.flatMap((test) => test.ran)) scripts.get(scriptId)?.learn(functions);
    for (const script of scripts.values()) script.points = [...script.points].sort((one, other) => one - other);
    const tests = this.tests.map((test) => told(test, scripts));
    fs.writeFileSync(path.join(this.folder, `${process.pid}-${threadId}.json`), JSON.stringify({ tests }));
  }

  /** Give the scripts that ran by their ids, each as it was compiled. */
  scripts() {
    const found = new Map();
    const wanted = new Set(this.tests.flatMap((test) => test.ran.map((script) => script.scriptId)));
    this.session.on("Debugger.scriptParsed", ({ params }) => found.set(params.scriptId, params));
    this.post("Debugger.enable");
    const source = (scriptId) => this.post("Debugger.getScriptSource", { scriptId }).scriptSource;
    const known = [...wanted].filter((id) => found.has(id));
    const scripts = new Map(known.map((id) => [id, new Script(this, found.get(id), source(id))]));
    this.post("Debugger.disable");
    return scripts;
  }
}

/** The source of a script as V8 has it, and where it comes from. */
class Script {
  constructor(tracer, { url, sourceMapURL }, source) {
    Object.assign(this, { tracer, source, path: tracer.place(url) });
    this.lines = [0, ...[...source.matchAll(/\n/g)].map(({ index }) => index + 1)];
    const statements = source.matchAll(/(?:^|[;{}])\s*(?=[^\s;{}])/gm);
    this.points = new Set([...statements].map((found) => found.index + found[0].length));
    this.map = this.readMap(sourceMapURL);
  }

  readMap(url) {
    try {
      const inline = /^data:.*?;base64,(.*)/s.exec(url);
      const file = path.resolve(this.tracer.root, path.dirname(this.path), url || ".");
      const text = inline ? Buffer.from(inline[1], "base64").toString() : fs.readFileSync(file, "utf8");
      return new Module.SourceMap(JSON.parse(text));
    } catch {
      return null;
    }
  }

  /** Learn where blocks begin: V8 leaves out those that ran as often as what is around them. */
  learn(functions) {
    for (const { startOffset } of functions.flatMap((item) => item.ranges)) this.points.add(startOffset);
  }

  /** Give path and place of what stands at an offset, as its author wrote it: the line, from 1, and column / 1000. */
  origin(offset) {
    const line = after(this.lines, offset) - 1;
    const column = offset - this.lines[line];
    const place = (row, at) => row + 1 + Math.min(at, 999) / 1000;
    if (!this.map) return [this.path, place(line, column)];
    const { originalLine, originalColumn, originalSource } = this.map.findEntry(line, column);
    if (originalLine === undefined) return null;
    const named = path.resolve(this.tracer.root, path.dirname(this.path), decodeURI(originalSource));
    return [fs.existsSync(named) ? this.tracer.place(named) : this.path, place(originalLine, originalColumn)];
  }

  /** Tell whether a function is the script itself, or what a runner wraps around it. */
  isBody({ functionName, ranges: [{ startOffset, endOffset }] }) {
    const isWhole = startOffset <= this.lines[1] && this.source.trimEnd().length - endOffset < 4;
    return functionName === JEST_WRAPPER || (!functionName && isWhole);
  }
}

/** Count the sorted numbers up to one. */
function after(numbers, wanted) {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Turn what a test ran into the form in which it is written. */
function told({ name, failed, ran }, scripts) {
  const calls = [];
  const lines = {};
  for (const { scriptId, functions } of ran) {
    const script = scripts.get(scriptId);
    for (const [offset, count] of script ? runs(script, functions) : []) {
      const [file, place] = script.origin(offset) ?? [];
      if (!file) continue;
      (lines[file] ??= new Set()).add(place);
      if (count) calls.push([file, Math.floor(place), 0, count, false]);
    }
  }
  const sorted = Object.entries(lines).map(([file, places]) => [file, [...places].sort((one, other) => one - other)]);
  return { name, failed, calls, lines: Object.fromEntries(sorted) };
}

/** List the offsets of statements and blocks that ran, with the number of calls where a function begins. */
function runs(script, functions) {
  const inner = functions.filter((item) => !script.isBody(item));
  const ranges = inner.flatMap((item) => item.ranges);
  ranges.sort((one, other) => one.startOffset - other.startOffset || other.endOffset - one.endOffset);
  const counts = new Map();
  for (const { startOffset, endOffset, count } of ranges)
    for (let at = after(script.points, startOffset - 1); script.points[at] < endOffset; at++)
      counts.set(script.points[at], count);
  const calls = new Map(inner.map(({ ranges: [{ startOffset, count }] }) => [startOffset, count]));
  return [...counts].filter(([, count]) => count).map(([offset]) => [offset, calls.get(offset) ?? 0]);
}

// ------------------------------------------------------------------------------------------------------- runners

/** Under node --test, and where a test file is run by itself. */
function watchNode(tracer) {
  const file = process.argv[1] && path.resolve(process.argv[1]);
  if (process.execArgv.includes("--test") || !file || !fs.existsSync(file) || !tracer.files.has(fs.realpathSync(file))) return;
  const { beforeEach, afterEach } = require("node:test");
  tracer.start();
  beforeEach((test) => tracer.begin(test.fullName, file, test.name));
  afterEach((test) => tracer.end(test.fullName, test.passed === undefined ? undefined : !test.passed));
}

/** Watch the modules of a runner as they are loaded. */
function watchRequire(tracer) {
  const load = Module._load;
  Module._load = function (...given) {
    const loaded = load.apply(this, given);
    if (loaded?.constants?.EVENT_TEST_END && loaded.prototype?.runTest) watchMocha(tracer, loaded);
    return typeof loaded?.TestEnvironment === "function" ? watchJest(tracer, loaded) : loaded;
  };
}

function watchMocha(tracer, Runner) {
  const { emit } = Runner.prototype;
  if (Runner.prototype.isTraced) return;
  Runner.prototype.isTraced = true;
  tracer.start();
  Runner.prototype.emit = function (event, test, ...more) {
    if (event === Runner.constants.EVENT_TEST_BEGIN) tracer.begin(test, test.file, test.fullTitle());
    if (event === Runner.constants.EVENT_TEST_END) tracer.end(test, test.state ? test.state === "failed" : undefined);
    return emit.call(this, event, test, ...more);
  };
}

const watched = new Map();

function watchJest(tracer, loaded) {
  if (watched.has(loaded)) return watched.get(loaded);
  const title = (test) => (test.parent?.parent ? [...title(test.parent), test.name] : [test.name]);
  class Watched extends loaded.TestEnvironment {
    constructor(config, context) {
      super(config, context);
      tracer.start();
      this.tracedFile = context.testPath;
    }

    async handleTestEvent(event, state) {
      const { name, test } = event;
      if (name === "test_start") tracer.begin(test, this.tracedFile, title(test).join(" › "));
      if (name === "test_skip" || name === "test_todo") tracer.end(test, undefined);
      if (name === "test_done") tracer.end(test, test.errors.length > 0);
      return super.handleTestEvent?.(event, state);
    }
  }
  const changed = { ...loaded, __esModule: loaded.__esModule, TestEnvironment: Watched, default: Watched };
  watched.set(loaded, changed);
  return changed;
}

/** vitest is loaded as ES modules: the one that starts the tests of a file is given its runner through this. */
function watchVitest(tracer) {
  if (!process.env.VITEST) return;
  const told = (test) => [...(test.suite ? told(test.suite) : test.file ? [test.file.name] : []), test.name];
  globalThis.leanloopWatches = async (run, files, runner) => {
    tracer.start();
    const { onBeforeRunTask, onAfterRunTask } = runner;
    runner.onBeforeRunTask = function (test) {
      tracer.begin(test.id, test.file.filepath, told(test).join(" > "));
      return onBeforeRunTask?.call(this, test);
    };
    runner.onAfterRunTask = function (test) {
      tracer.end(test.id, test.result?.state === "fail");
      return onAfterRunTask?.call(this, test);
    };
    try {
      return await run(files, runner);
    } finally {
      tracer.write(); // a worker of its pool is ended without a word
    }
  };
  Module.register(`data:text/javascript,${encodeURIComponent(`export ${load}`)}`);
}

/** A hook of Node's module loader; it runs in a thread of its own, and knows nothing of this file. */
async function load(url, context, next) {
  const loaded = await next(url, context);
  const isRunner = url.includes("/@vitest/runner/dist/") && String(loaded.source).includes("async function startTests(");
  const more = "\nstartTests = ((run) => (files, runner) => leanloopWatches(run, files, runner))(startTests);\n";
  return isRunner ? { ...loaded, source: loaded.source + more } : loaded;
}

const settings = readSettings();
if (settings?.files.size) {
  const tracer = new Tracer(settings);
  watchNode(tracer);
  watchRequire(tracer);
  watchVitest(tracer);
}
