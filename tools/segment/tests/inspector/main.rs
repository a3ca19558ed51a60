//! Laws of the inspector, over logs that Timberline itself wrote and over the files of format version 1.

mod damage;
mod fixture;
mod looking;
mod order;
mod repair;
