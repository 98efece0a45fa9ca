# What the hosts of a rendered flake come to, by attribute. `tree` is the flake's directory; `modulesOfUser` are modules that the
# fleet names and we know nothing about; `packages` are the attributes of nixpkgs that the fleet names.
{ tree, modulesOfUser ? [ ], packages ? [ ] }:
let
  lib = import ./lib.nix;
  flake = import (tree + "/flake.nix");
  options = import ./options.nix { inherit (lib) types; inherit modulesOfUser; };
  stub = name: { inherit name; value = "/stub/${name}"; };
  pkgs = builtins.listToAttrs (map stub ([ "avahi" "cloudflared" "docker-compose" "gawk" "gitMinimal" "nftables" "nginxQuic" "replace-secret" "restic" "socat" ] ++ map (v: "postgresql_${toString v}") [ 13 14 15 16 17 18 ] ++ packages)) // {
    caddy = { outPath = "/stub/caddy"; withPlugins = { plugins, hash }: "/stub/caddy-with-${toString (builtins.length plugins)}"; };
    writeText = name: text: "/stub/${builtins.hashString "sha256" text}-${name}";
  };
  module = { };
  input = {
    lib.nixosSystem = { modules, specialArgs }: lib.evalModules { inherit modules specialArgs options pkgs; };
    nixosModules = { knot = module; spindle = module; sops = module; disko = module; default = module; home-manager = module; };
    homeManagerModules = { openclaw = module; default = module; };
  };
  inputs = builtins.mapAttrs (_: _: input) flake.inputs;
  # Paths as texts: JSON would copy them.
  plain = value:
    if builtins.isPath value then toString value
    else if builtins.isList value then map plain value
    else if builtins.isAttrs value then builtins.mapAttrs (_: plain) value
    else if builtins.isFunction value then "<function>"
    else value;
in
plain (flake.outputs inputs).nixosConfigurations
