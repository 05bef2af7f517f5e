//! Moving everything from one store to another by `pushroll export` and `pushroll import`, as an operator does.

mod broken_off;
mod goes_on;
mod place;
mod refused;
mod round_trip;
