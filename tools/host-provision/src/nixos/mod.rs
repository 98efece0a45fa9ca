//! NixOS from the controller's side: the lock of a flake, the installation of a host, and the module by which a host pulls.
//! Updates are plain applies.

mod flake;
mod install;
mod lock;
mod nix;
mod pull_module;

pub use install::InstallArgs;
pub use lock::LockArgs;
pub use pull_module::PullModule;
