//! Pages people see.
