# The hosts of a tree with the real module system of nixpkgs and the real options of sops-nix and disko; see the script `real`.
# The options of nixpkgs itself are those of options.nix, whose types become the real ones here.
{ tree, nixpkgsLib, sopsNix, disko }:
let
  lib = import (nixpkgsLib + "/lib");
  flake = import (tree + "/flake.nix");
  leaf = type: { _leaf = true; inherit type; };
  real = lib.types;
  # What `pkgs.formats.toml` and `.json` take.
  structure = real.nullOr (real.oneOf [ real.bool real.int real.float real.str real.path (real.attrsOf structure) (real.listOf structure) ]) // { description = "a structure"; };
  types = {
    bool = leaf real.bool; int = leaf real.int; port = leaf real.port; str = leaf real.str; text = leaf real.str; lines = leaf real.lines; path = leaf real.path;
    package = leaf real.unspecified; anything = leaf real.anything;
    strMatching = pattern: leaf (real.strMatching pattern);
    enum = values: leaf (real.enum values);
    nullOr = inner: leaf (real.nullOr inner.type);
    either = a: b: leaf (real.either a.type b.type);
    listOf = inner: leaf (real.listOf inner.type);
    attrsOf = inner: leaf (real.attrsOf inner.type);
    structured = leaf structure;
    unit = leaf (real.oneOf [ real.str real.bool real.int (real.listOf real.str) ]);
  };
  # A part of the tree of options as an option, and as the options of a module.
  typeOf = node:
    if node ? _leaf then node.type
    else if node ? "*" && builtins.length (builtins.attrNames node) == 1 then real.attrsOf (typeOf node."*")
    else real.submodule ({ options = optionsOf (builtins.removeAttrs node [ "*" ]); } // lib.optionalAttrs (node ? "*") { freeformType = real.attrsOf (typeOf node."*"); });
  optionsOf = builtins.mapAttrs (_: node: lib.mkOption { type = real.nullOr (typeOf node); default = null; });
  ours = import ./options.nix { inherit types; modulesOfUser = [ ]; };
  top = builtins.removeAttrs ours [ "sops" "disko" "services" "system" "home-manager" ];
  base = {
    config = {
      systemd.package = "/stub/systemd";
      services = { zabbixServer.package = lib.mkDefault "/stub/zabbix"; postgresql.package = lib.mkDefault "/stub/postgresql"; };
      virtualisation = { docker.package = "/stub/docker"; podman.package = "/stub/podman"; };
    };
    options = optionsOf top // {
      assertions = lib.mkOption { type = real.listOf real.unspecified; default = [ ]; };
      # Modules that the fleet names and we know nothing about have options of their own.
      services = lib.mkOption { type = real.submodule { options = optionsOf ours.services; freeformType = real.lazyAttrsOf real.anything; }; default = { }; };
      system = lib.mkOption { type = real.submodule { options = optionsOf (builtins.removeAttrs ours.system [ "activationScripts" ]); freeformType = real.lazyAttrsOf real.anything; }; default = { }; };
      home-manager = lib.mkOption { type = real.anything; default = { }; };
      age = lib.mkOption { type = real.submodule { options = optionsOf ours.age; }; default = { }; };
    };
  };
  pkgs = lib.genAttrs [ "avahi" "backrest" "cloudflared" "docker-compose" "gawk" "gitMinimal" "nftables" "nginxQuic" "restic" "socat" "replace-secret" "postgresql_18" "postgresql_17" "gnupg" ] (name: "/stub/${name}") // {
    caddy.withPlugins = arguments: "/stub/caddy";
    writeText = name: text: "/stub/${name}";
    callPackage = file: arguments: { sops-install-secrets = "/stub/sops-install-secrets"; };
    stdenv.hostPlatform = "x86_64-linux";
  };
  diskoTypes = import (disko + "/lib") { inherit lib; rootMountPoint = "/mnt"; makeTest = null; eval-config = null; };
  diskoModule = { options.disko.devices = lib.mkOption { type = diskoTypes.toplevel; default = { }; }; };
  sopsModule = { imports = [ (sopsNix + "/modules/sops") ]; config._module.args.utils = { }; };
  input = {
    lib.nixosSystem = { modules, specialArgs }: lib.evalModules { modules = [ base { _module.args.pkgs = pkgs; } ] ++ modules; inherit specialArgs; };
    nixosModules = { knot = { }; spindle = { }; sops = sopsModule; disko = diskoModule; default = { }; home-manager = { }; };
    homeManagerModules = { openclaw = { }; default = { }; };
  };
  hosts = (flake.outputs (builtins.mapAttrs (_: _: input) flake.inputs)).nixosConfigurations;
  plain = value: if builtins.isAttrs value then builtins.mapAttrs (_: plain) value else if builtins.isList value then map plain value else if builtins.isPath value then toString value else value;
in
builtins.mapAttrs
  (_: { config, ... }: {
    ports = config.services.openssh.ports;
    partitions = lib.mapAttrs (_: disk: builtins.attrNames disk.content.partitions) config.disko.devices.disk or { };
    secrets = lib.mapAttrs (_: secret: { inherit (secret) path mode owner; }) (config.sops.secrets or { });
    # Reading every value finds wrong types and conflicts between modules.
    options = builtins.length (builtins.attrNames (builtins.deepSeq (plain { inherit (config) services systemd networking users environment boot security virtualisation time i18n nix; }) config));
  })
  hosts
