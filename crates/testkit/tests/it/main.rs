//! Tests about the project as a whole.

mod house;
