'use strict';

function sign(n) {
  if (n < 0) {
    return -1;
  }
  if (n === 0) {
    return 0;
  }
  return 1;
}

module.exports = { sign };
