// Record which lines of a project each of its tests runs; loaded into the project's own test run from outside.
//
// lean-loop copies this file into a folder of its run, names it to Node with --require in NODE_OPTIONS, and starts the
// test command again. It knows when a test begins and ends under node --test, mocha, jest and vitest, and asks V8 for
// what ran in between; source maps lead back from what was compiled. _trace.py, which does this for Python, tells the
// settings in LEANLOOP_TRACE and the form of what is written; of V8 neither the order of calls nor the caller is known.
// Node 20.16 or newer, nothing but its own modules. Nothing is written anywhere else.
"use strict";

// Taken here, before a test puts its own in place of them.
const { existsSync, readFileSync, realpathSync, statSync, writeFileSync } = require("node:fs");
const { setTimeout } = require("node:timers");
const { parse, stringify } = JSON;
const now = performance.now.bind(performance);

const path = require("node:path");
const Module = require("node:module");
const { Session } = require("node:inspector");
const { fileURLToPath } = require("node:url");
const { threadId } = require("node:worker_threads");

const DEPENDENCIES = /(^|\/)(node_modules|bower_components|\.yarn|\.git)(\/|$)/;
const JEST_WRAPPER = "Object.<anonymous>";
const FAILING = 20;
const LARGEST = 300_000; // bytes of a script; what is larger was made by a program

/** Make a function quiet about its errors: the project's run goes on, less of it is traced. */
function quiet(action) {
  return (...given) => {
    try {
      return action(...given);
    } catch {
      return undefined;
    }
  };
}

/** The settings, or null; `files` are absolute. */
function readSettings() {
  const told = parse(process.env.LEANLOOP_TRACE || "null");
  if (!told) return null;
  const root = realpathSync(told.root);
  return { ...told, root, files: new Set(told.files.map((file) => path.join(root, file))) };
}

/** Records what the project's functions do, test by test; tests may hold others, or run beside them. */
class Tracer {
  constructor({ root, files, folder, seconds, passing }) {
    Object.assign(this, { root, files, folder, passing, failing: FAILING });
    this.late = now() + seconds * 500; // the other half is for the tests that are left, and for writing
    this.places = new Map();
    this.open = new Map();
    this.tests = [];
    for (const name of ["start", "begin", "end", "write"]) this[name] = quiet(this[name].bind(this));
    this.onEnd = () => this.giveUp();
    process.on("exit", this.write);
  }

  post(method, given = {}) {
    let result;
    this.session.post(method, given, (_, told) => (result = told));
    return result;
  }

  /** Give the path of a script in the project, or "". */
  place(url) {
    if (!this.places.has(url)) this.places.set(url, quiet(() => this.find(url))() ?? "");
    return this.places.get(url);
  }

  /** Find out what `place` gives. */
  find(url) {
    const file = url.startsWith("file:") ? fileURLToPath(url) : url;
    const inside = path.isAbsolute(file) ? path.relative(this.root, file).replaceAll("\\", "/") : "..";
    const isForeign = inside.startsWith("..") || DEPENDENCIES.test(inside);
    return isForeign || statSync(file).size > LARGEST ? "" : inside;
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

  /** Begin a test, whose key is anything that stands for it; one that is tried again counts anew. */
  begin(key, file, name) {
    if (!this.files.has(realpathSync(file)) || (this.passing <= 0 && this.failing <= 0) || now() > this.late) return;
    this.tests = this.tests.filter((test) => test.key !== key);
    this.take();
    this.open.set(key, { key, name, ran: [] });
    // An endless loop never hears a signal, but would outlive it if there were a handler: none before timers run.
    setTimeout(() => this.open.has(key) && process.off("SIGTERM", this.onEnd).on("SIGTERM", this.onEnd), 100).unref();
  }

  /** Write before SIGTERM, which ends what hangs, does its work; the project's own handlers decide for themselves. */
  giveUp() {
    process.off("SIGTERM", this.onEnd);
    if (process.listenerCount("SIGTERM")) return;
    this.write();
    process.kill(process.pid, "SIGTERM");
  }

  end(key, failed) {
    const test = this.open.get(key);
    if (!test) return;
    const isWanted = failed ? this.failing > 0 : this.passing > 0;
    if (isWanted || this.open.size > 1) this.take(); // which lasts for milliseconds
    this.open.delete(key);
    if (!this.open.size) process.off("SIGTERM", this.onEnd);
    if (!isWanted || failed === undefined) return;
    if (failed) this.failing--;
    else this.passing--;
    this.tests.push({ ...test, failed });
  }

  /** Write what was recorded; a test that has not ended counts as failed. */
  write() {
    for (const key of [...this.open.keys()]) this.end(key, true);
    if (!this.tests.length) return;
    const scripts = this.scripts();
    for (const { scriptId, functions } of this.tests.flatMap((test) => test.ran)) scripts.get(scriptId)?.learn(functions);
    for (const script of scripts.values()) script.points = [...script.points].sort((one, other) => one - other);
    const tests = this.tests.map((test) => told(test, scripts));
    writeFileSync(path.join(this.folder, `${process.pid}-${threadId}.json`), stringify({ tests }));
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
    this.folder = path.resolve(tracer.root, path.dirname(this.path));
    this.found = new Map();
    this.map = this.readMap(sourceMapURL);
  }

  readMap(url) {
    try {
      const inline = /^data:.*?;base64,(.*)/s.exec(url);
      const file = path.resolve(this.folder, url || ".");
      const map = parse(inline ? Buffer.from(inline[1], "base64").toString() : readFileSync(file, "utf8"));
      this.sourceRoot = path.resolve(this.folder, map.sourceRoot || ".");
      // What a runner compiles on its way has the path of its source; what a compiler wrote has one of its own.
      this.isStored = readFileSync(path.join(this.tracer.root, this.path), "utf8") === this.source;
      return new Module.SourceMap(map);
    } catch {
      return null;
    }
  }

  /** Find the file that the source map means; there may be none. */
  find(named) {
    const forms = [named, quiet(decodeURI)(named), quiet(fileURLToPath)(named)];
    return forms.map((form) => form && path.resolve(this.sourceRoot, form)).find((file) => file && existsSync(file));
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
    if (!this.found.has(originalSource)) this.found.set(originalSource, this.find(originalSource));
    const file = this.found.get(originalSource);
    if (!file && this.isStored) return [this.path, place(line, column)];
    return [file ? this.tracer.place(file) : this.path, place(originalLine, originalColumn)];
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
  if (process.execArgv.includes("--test") || !file || !existsSync(file) || !tracer.files.has(realpathSync(file))) return;
  const { beforeEach, afterEach } = require("node:test");
  tracer.start();
  beforeEach((test) => tracer.begin(test, file, test.name));
  afterEach((test) => tracer.end(test, test.passed === undefined ? undefined : !test.passed));
}

/** Watch the modules of a runner as they are loaded. */
function watchRequire(tracer) {
  const load = Module._load;
  const watch = quiet((loaded) => {
    if (loaded?.constants?.EVENT_TEST_END && loaded.prototype?.runTest) watchMocha(tracer, loaded);
    return typeof loaded?.TestEnvironment === "function" ? watchJest(tracer, loaded) : undefined;
  });
  Module._load = function (...given) {
    const loaded = load.apply(this, given);
    return watch(loaded) ?? loaded;
  };
}

function watchMocha(tracer, Runner) {
  const { emit } = Runner.prototype;
  const { EVENT_TEST_BEGIN, EVENT_TEST_END, EVENT_TEST_RETRY, EVENT_SUITE_END } = Runner.constants;
  if (Runner.prototype.isTraced) return;
  Runner.prototype.isTraced = true;
  tracer.start();
  const watch = quiet((event, test) => {
    if (event === EVENT_TEST_RETRY) tracer.end(test, undefined);
    // A test whose hook failed has no end of its own.
    const isPast = event === EVENT_TEST_BEGIN || event === EVENT_SUITE_END;
    if (isPast) for (const key of tracer.open.keys()) tracer.end(key, true);
    if (event === EVENT_TEST_BEGIN) tracer.begin(test, test.file, test.fullTitle());
    if (event === EVENT_TEST_END) tracer.end(test, test.state ? test.state === "failed" : undefined);
  });
  Runner.prototype.emit = function (event, test, ...more) {
    if (!this.isParallelMode?.()) watch(event, test); // else its workers tell
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
      // An environment of the project's own, whose base this is, has its own handler and need not call another.
      const { handleTestEvent } = this;
      this.handleTestEvent = (event, state) => {
        const { name, test } = event;
        if (name === "test_start") tracer.begin(test, context.testPath, title(test).join(" › "));
        if (name === "test_skip" || name === "test_todo") tracer.end(test, undefined);
        if (name === "test_done") tracer.end(test, test.errors.length > 0);
        return handleTestEvent?.call(this, event, state);
      };
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
  // Of a test that is skipped, or skips itself, no end is told.
  const dropSkipped = () => {
    for (const test of tracer.open.keys()) if (test.mode === "skip") tracer.end(test, undefined);
  };
  globalThis.leanloopWatches = async (run, files, runner) => {
    tracer.start();
    const { onBeforeRunTask, onAfterRunTask } = runner;
    runner.onBeforeRunTask = function (test) {
      dropSkipped();
      if (test.mode !== "todo") tracer.begin(test, test.file.filepath, told(test).join(" > "));
      return onBeforeRunTask?.call(this, test);
    };
    runner.onAfterRunTask = function (test) {
      tracer.end(test, test.result?.state === "fail");
      return onAfterRunTask?.call(this, test);
    };
    try {
      return await run(files, runner);
    } finally {
      dropSkipped();
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

/** Watch whichever runner this process is of. */
function main() {
  const settings = readSettings();
  if (!settings?.files.size) return;
  const tracer = new Tracer(settings);
  for (const watch of [watchRequire, watchVitest, watchNode]) quiet(watch)(tracer);
}

quiet(main)();
