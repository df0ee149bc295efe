// A hive keeps a record of what each frame weighs, in grams.

const EMPTY_FRAME = 450;

/** Return the grams of honey in a frame that weighs `grams`, wax and wood taken off. */
function honey(grams) {
  return Math.max(0, grams - EMPTY_FRAME);
}

/** Return the frames that are ready for the harvest, the heaviest first. */
function ready(frames, least = 1200) {
  return frames.filter((frame) => honey(frame.grams) >= least).sort((a, b) => a.grams - b.grams);
}

module.exports = { EMPTY_FRAME, honey, ready };
