//! The models of `ownership` and `percpu` by themselves, for whoever builds an engine on them: each
//! suite is a macro that makes its models tests of the crate that calls it.
//!
//! | suite | asks |
//! | --- | --- |
//! | [`ownership_suite`](crate::ownership_suite) | page words: owners, roll-back, poison, batches |
//! | [`granules_suite`](crate::granules_suite) | one word for many pages, unfolded and folded |
//! | [`percpu_suite`](crate::percpu_suite) | pins, residency, run queues |
//!
//! Invariant: a suite lists every model of its file (`tests/tool.rs`).

/// Defines a suite: the macro `$name`, and the list of its models in `$file`.
macro_rules! suite {
    ($(#[$about:meta])* $name:ident: $file:ident { $($(#[$how:meta])* $model:ident,)* }) => {
        /// The names of this suite's models.
        pub const MODELS: &[&str] = &[$(stringify!($model)),*];

        $(#[$about])*
        #[macro_export]
        macro_rules! $name {
            () => {
                $(
                    #[test]
                    $(#[$how])*
                    fn $model() {
                        $crate::suites::$file::$model();
                    }
                )*
            };
        }
    };
}

pub mod granules;
pub mod ownership;
pub mod percpu;
