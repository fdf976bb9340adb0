//! Stories with the real trainer.
