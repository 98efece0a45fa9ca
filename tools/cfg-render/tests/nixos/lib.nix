# As much of the module system of nixpkgs as tells whether a module sets options that exist, to values of their types.
# Ours, so that the tests need neither nixpkgs nor a network; tests/nixos/real does the same with the real one.
rec {
  leaf = name: check: merge: { _leaf = true; inherit name check merge; };
  one = values: if builtins.length values == 1 then builtins.head values else
    if builtins.all (value: value == builtins.head values) values then builtins.head values else throw "conflicting definitions: ${builtins.toJSON values}";
  concat = builtins.concatLists;

  types = rec {
    bool = leaf "bool" builtins.isBool one;
    int = leaf "int" builtins.isInt one;
    port = leaf "port" (value: builtins.isInt value && value > 0 && value < 65536) one;
    str = leaf "str" (value: builtins.isString value && builtins.match ".*\n.*" value == null) one;
    text = leaf "text" builtins.isString one;
    lines = leaf "lines" builtins.isString (builtins.concatStringsSep "\n");
    path = leaf "path" (value: builtins.isPath value || (builtins.isString value && builtins.match "/.*" value != null)) one;
    package = leaf "package" (value: builtins.isString value || value ? outPath) one;
    strMatching = pattern: leaf "strMatching ${pattern}" (value: builtins.isString value && builtins.match pattern value != null) one;
    enum = values: leaf "one of ${builtins.toJSON values}" (value: builtins.elem value values) one;
    nullOr = type: leaf "null or ${type.name}" (value: value == null || type.check value) one;
    either = a: b: leaf "${a.name} or ${b.name}" (value: a.check value || b.check value) (values: if builtins.all builtins.isList values then concat values else one values);
    listOf = type: leaf "list of ${type.name}" (value: builtins.isList value && builtins.all type.check value) concat;
    attrsOf = type: leaf "attribute set of ${type.name}" (value: builtins.isAttrs value && builtins.all type.check (builtins.attrValues value)) (builtins.foldl' (a: b: a // b) { });
    anything = leaf "anything" (value: true) (values: if builtins.all builtins.isAttrs values then builtins.foldl' deep { } values else one values);
    # TOML and JSON of nixpkgs: sets are merged, lists appended.
    structured = leaf "a structure" (value: true) (values: if builtins.all builtins.isAttrs values then builtins.foldl' join { } values else one values);
    unit = either str (either bool (either int (listOf str)));
  };

  deep = a: b: a // builtins.mapAttrs (name: value: if a ? ${name} && builtins.isAttrs a.${name} && builtins.isAttrs value then deep a.${name} value else value) b;

  join = a: b: a // builtins.mapAttrs
    (name: value:
      if a ? ${name} && builtins.isAttrs a.${name} && builtins.isAttrs value then join a.${name} value
      else if a ? ${name} && builtins.isList a.${name} && builtins.isList value then a.${name} ++ value
      else value)
    b;

  mkForce = content: { _type = "override"; inherit content; };
  # Lists and lines come in the order of these; without one they are in the middle.
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  unwrap = value: if builtins.isAttrs value && builtins.elem (value._type or "") [ "override" "order" ] then value.content else value;
  priority = value: if builtins.isAttrs value && (value._type or "") == "order" then value.priority else 1000;

  # What several modules say about one part of the tree of options.
  merge = tree: at: values:
    let
      forced = builtins.filter (value: builtins.isAttrs value && (value._type or "") == "override") values;
      counted = map unwrap (builtins.sort (a: b: priority a < priority b) (if forced == [ ] then values else forced));
    in
    if tree ? _leaf then
      (if builtins.all tree.check counted then tree.merge counted
       else throw "A definition for option `${at}' is not of type `${tree.name}': ${builtins.toJSON counted}")
    else if !(builtins.all builtins.isAttrs counted) then throw "The option `${at}' is no option but a set of options: ${builtins.toJSON counted}"
    else
      let names = builtins.attrNames (builtins.foldl' (a: b: a // b) { } counted); in
      builtins.listToAttrs (map
        (name: {
          inherit name;
          value = merge
            (tree.${name} or (tree."*" or (throw "The option `${at}.${name}' does not exist.")))
            "${at}.${name}"
            (concat (map (value: if value ? ${name} then [ value.${name} ] else [ ]) counted));
        })
        names);

  # Every module that these import, called with its arguments.
  collect = args: modules: concat (map
    (module:
      let
        loaded = if builtins.isPath module || builtins.isString module then import module else module;
        body = if builtins.isFunction loaded then loaded args else loaded;
      in
      [ (removeAttrs body [ "imports" ]) ] ++ collect args (body.imports or [ ]))
    modules);

  evalModules = { modules, options, pkgs, specialArgs ? { } }:
    let
      known = {
        systemd.package = "/stub/systemd";
        virtualisation.podman.package = "/stub/podman";
        virtualisation.docker.package = "/stub/docker";
        services = { caddy.package = "/stub/caddy"; zabbixServer.package = "/stub/zabbix"; postgresql.package = "/stub/postgresql"; };
      };
      placeholders = builtins.mapAttrs (name: _: "<placeholder of ${name}>") (result.sops.secrets or { });
      config = known // { sops.placeholder = placeholders; };
      lib = { inherit mkForce mkBefore mkAfter; fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; };
      # The real one puts the last module first; nothing may rely on either order.
      reverse = builtins.foldl' (all: one: [ one ] ++ all) [ ];
      result = merge options "config" (reverse (collect (specialArgs // { inherit config lib pkgs; }) modules));
    in
    result;
}
