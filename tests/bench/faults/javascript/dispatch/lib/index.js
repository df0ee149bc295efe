'use strict';

module.exports = { ...require('./app'), PatternError: require('./pattern').PatternError };
