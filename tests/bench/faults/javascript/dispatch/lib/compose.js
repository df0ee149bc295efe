'use strict';

/** Chain middleware: each gets (context, next). Errors go to the next handler with three parameters. */
function compose(stack) {
  return async function run(context, done) {
    let reached = -1;
    const step = async (index, error) => {
      if (index <= reached) throw new Error('next() called twice');
      reached = index;
      const layer = stack[index];
      if (layer === undefined) {
        if (error) throw error;
        return done ? done(context) : undefined;
      }
      const handlesErrors = layer.length === 3;
      if (Boolean(error) !== handlesErrors) return step(index + 1, error);
      const next = (problem) => step(index + 1, problem);
      try {
        return await (handlesErrors ? layer(error, context, next) : layer(context, next));
      } catch (thrown) {
        if (reached > index) throw thrown;
        return step(index + 1, thrown);
      }
    };
    return step(0);
  };
}

function scoped(prefix, layer) {
  return (context, next) => {
    const inside = context.path === prefix || context.path.startsWith(prefix + '/');
    return inside ? layer(context, next) : next();
  };
}

module.exports = { compose, scoped };
