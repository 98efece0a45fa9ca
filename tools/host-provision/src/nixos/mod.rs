//! NixOS from the controller's side: the lock of a flake, and the installation of a host. Updates are plain applies.

mod flake;
mod install;
mod lock;
mod nix;

pub use install::InstallArgs;
pub use lock::LockArgs;
