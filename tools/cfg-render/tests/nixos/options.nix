# The options that we set, with the types that NixOS 25.11, sops-nix, agenix, disko and Home Manager give them.
{ types, modulesOfUser }:
with types;
let
  user = { enable = bool; "*" = anything; };
  # `services.x.y` of the user as a tree.
  tree = path:
    let parts = builtins.filter builtins.isString (builtins.split "\\." path); in
    builtins.foldl' (inner: name: { ${name} = inner; }) user (reverse parts);
  reverse = list: builtins.foldl' (all: one: [ one ] ++ all) [ ] list;
  deep = a: b: a // builtins.mapAttrs (name: value: if a ? ${name} && !(a.${name} ? _leaf) then deep a.${name} value else a.${name} or value) b;
  service = {
    enable = bool; description = str; after = listOf str; wants = listOf str; requires = listOf str; before = listOf str; requiredBy = listOf str;
    wantedBy = listOf str; path = listOf package; script = lines; preStart = lines; restartTriggers = listOf anything; reloadTriggers = listOf anything; restartIfChanged = bool; reloadIfChanged = bool;
    unitConfig."*" = unit; serviceConfig."*" = unit;
  };
  addresses = listOf anything;
  location = { proxyPass = nullOr str; extraConfig = lines; };
  secret = {
    sopsFile = path; key = str; format = enum [ "json" "dotenv" "ini" "binary" "yaml" ]; owner = str; group = str;
    mode = strMatching "[0-7]{4}"; path = path; restartUnits = listOf str; reloadUnits = listOf str; neededForUsers = bool;
  };
  ours = {
    age = {
      identityPaths = listOf str; secretsDir = path; secretsMountPoint = str;
      secrets."*" = { file = path; owner = str; group = str; mode = str; path = str; };
    };
    boot = {
      initrd.availableKernelModules = listOf str;
      kernel.sysctl = attrsOf (either str (either int bool));
      kernelModules = listOf str;
      loader = {
        efi.canTouchEfiVariables = bool;
        grub = { enable = bool; device = str; efiSupport = bool; efiInstallAsRemovable = bool; };
        systemd-boot.enable = bool;
      };
    };
    disko.devices.disk."*" = {
      type = enum [ "disk" ]; device = str;
      content = { type = enum [ "gpt" ]; partitions."*" = { size = strMatching "([0-9]+[KMGT]|100%)"; type = strMatching "[0-9A-F]{4}"; priority = int; content."*" = anything; }; };
    };
    environment = {
      etc."*" = { text = text; source = path; mode = str; user = str; group = str; };
      systemPackages = listOf package;
    };
    fileSystems."*" = { device = str; fsType = str; options = listOf str; };
    home-manager = { useGlobalPkgs = bool; useUserPackages = bool; users."*" = { imports = listOf anything; home.stateVersion = str; "*" = anything; }; };
    i18n.defaultLocale = str;
    networking = {
      hosts = attrsOf (listOf str);
      hostName = strMatching "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"; domain = nullOr str; nameservers = listOf str; useDHCP = bool; useNetworkd = bool;
      defaultGateway = { address = str; interface = str; };
      defaultGateway6 = { address = str; interface = str; };
      firewall = {
        enable = bool; allowPing = bool; logRefusedConnections = bool; extraInputRules = lines; checkReversePath = either bool (enum [ "strict" "loose" ]);
      };
      interfaces."*" = { useDHCP = bool; ipv4 = { inherit addresses; }; ipv6 = { inherit addresses; }; };
      nftables = { enable = bool; tables."*" = { family = str; content = lines; }; };
    };
    nix.settings.experimental-features = listOf str;
    nixpkgs = { config.allowUnfree = bool; hostPlatform = str; };
    security = {
      acme = {
        acceptTerms = bool; defaults = { email = str; server = str; };
        certs."*" = { domain = str; dnsProvider = str; credentialFiles = attrsOf path; extraDomainNames = listOf str; group = str; reloadServices = listOf str; webroot = str; };
      };
      sudo = { wheelNeedsPassword = bool; extraConfig = lines; };
    };
    services = {
      alloy = { enable = bool; extraFlags = listOf str; };
      cadvisor = { enable = bool; listenAddress = str; port = port; extraOptions = listOf str; };
      caddy = {
        enable = bool; email = nullOr str; acmeCA = nullOr str; globalConfig = lines; package = package;
        virtualHosts."*" = { serverAliases = listOf str; useACMEHost = nullOr str; extraConfig = lines; };
      };
      zabbixAgent = { enable = bool; server = str; listen = { ip = str; port = port; }; settings."*" = either int (either str (listOf str)); };
      zabbixServer = {
        enable = bool; package = package; listen = { ip = str; port = port; };
        database = {
          type = enum [ "mysql" "pgsql" ]; createLocally = bool; host = str; port = port; name = str; user = str; socket = nullOr path; passwordFile = nullOr path;
        };
      };
      zabbixWeb = {
        enable = bool; hostname = str; frontend = enum [ "nginx" "httpd" ]; server = { address = str; port = port; };
        httpd.virtualHost = { adminAddr = nullOr str; listen = listOf anything; };
        database = { type = enum [ "mysql" "pgsql" "oracle" ]; host = str; port = port; name = str; user = str; socket = nullOr path; passwordFile = nullOr path; };
      };
      cloudflared = { enable = bool; tunnels."*" = { credentialsFile = path; default = str; ingress = attrsOf str; }; };
      fail2ban = {
        enable = bool; maxretry = int; bantime = str; bantime-increment = { enable = bool; maxtime = str; }; ignoreIP = listOf str;
        jails."*".settings."*" = either str (either int bool);
      };
      nginx = {
        enable = bool; package = package; recommendedTlsSettings = bool; recommendedOptimisation = bool; recommendedGzipSettings = bool;
        recommendedProxySettings = bool; serverTokens = bool; clientMaxBodySize = str; defaultHTTPListenPort = port; defaultSSLListenPort = port;
        defaultListenAddresses = listOf str; serverNamesHashMaxSize = int; statusPage = bool; commonHttpConfig = lines;
        virtualHosts."*" = {
          default = bool; rejectSSL = bool; quic = bool; http3 = bool; reuseport = bool; forceSSL = bool; kTLS = bool; useACMEHost = nullOr str;
          acmeRoot = nullOr str; serverAliases = listOf str; sslCertificate = path; sslCertificateKey = path; extraConfig = lines; locations."*" = location;
        };
      };
      openssh = {
        enable = bool; openFirewall = bool; ports = listOf port; authorizedKeysFiles = listOf str; extraConfig = lines;
        authorizedKeysCommand = str; authorizedKeysCommandUser = str;
        settings = {
          AllowGroups = listOf str; AllowUsers = listOf str; DenyGroups = listOf str; DenyUsers = listOf str;
          Ciphers = listOf str; KexAlgorithms = listOf str; Macs = listOf str;
          KbdInteractiveAuthentication = bool; PasswordAuthentication = bool; PrintMotd = bool; StrictModes = bool; UseDns = bool; UsePAM = bool; X11Forwarding = bool;
          "*" = either str (either int bool);
        };
      };
      pgbouncer = { enable = bool; settings = { pgbouncer."*" = either int str; databases."*" = str; }; };
      postgresql = { enable = bool; package = package; dataDir = path; authentication = lines; settings."*" = either str (either int bool); };
      prometheus = {
        enable = bool; port = port; listenAddress = str; retentionTime = str; rules = listOf text; checkConfig = either bool (enum [ "syntax-only" ]);
        globalConfig."*" = anything; remoteWrite = listOf anything; remoteRead = listOf anything; scrapeConfigs = listOf anything; alertmanagers = listOf anything;
        alertmanager = { enable = bool; port = port; listenAddress = str; configuration = anything; extraFlags = listOf str; };
        exporters."*" = { enable = bool; port = port; listenAddress = str; extraFlags = listOf str; runAsLocalSuperUser = bool; };
      };
      avahi = {
        enable = bool; nssmdns4 = bool; nssmdns6 = bool; openFirewall = bool;
        publish = { enable = bool; addresses = bool; userServices = bool; };
      };
      tailscale = { enable = bool; openFirewall = bool; port = port; interfaceName = str; authKeyFile = path; extraUpFlags = listOf str; extraSetFlags = listOf str; useRoutingFeatures = enum [ "none" "client" "server" "both" ]; };
      traefik = { enable = bool; package = package; staticConfigOptions = structured; dynamicConfigOptions = structured; };
      forgejo = {
        enable = bool; secrets."*"."*" = path; settings."*"."*" = either str (either int bool);
        database = { type = enum [ "postgres" "sqlite3" "mysql" ]; host = str; port = port; socket = path; name = str; user = str; passwordFile = path; createDatabase = bool; };
      };
      vaultwarden = { enable = bool; dbBackend = enum [ "sqlite" "mysql" "postgresql" ]; config."*" = either str (either int bool); environmentFile = either path (listOf path); };
      headscale = {
        enable = bool; address = str; port = port;
        settings = { server_url = str; database = { type = enum [ "postgres" "sqlite" ]; postgres = { host = nullOr str; port = port; name = str; user = str; password_file = path; }; }; "*" = anything; };
      };
      grafana = { enable = bool; settings."*"."*" = either str (either int bool); provision = { enable = bool; datasources.settings = anything; dashboards.settings = anything; }; };
      loki = { enable = bool; configuration = structured; extraFlags = listOf str; };
      mosquitto = { enable = bool; listeners = listOf anything; };
      home-assistant = { enable = bool; config."*" = anything; };
      homepage-dashboard = { enable = bool; listenPort = port; services = listOf anything; settings = anything; allowedHosts = str; };
    };
    sops = {
      age = { keyFile = nullOr path; sshKeyPaths = listOf path; };
      gnupg.sshKeyPaths = listOf path;
      secrets."*" = secret;
      templates."*" = { content = lines; owner = str; group = str; mode = str; restartUnits = listOf str; reloadUnits = listOf str; };
    };
    system = {
      activationScripts."*" = { deps = listOf str; text = lines; };
      stateVersion = strMatching "[0-9]{2}\\.[0-9]{2}";
      autoUpgrade = { enable = bool; dates = str; flake = str; upgrade = bool; flags = listOf str; allowReboot = bool; rebootWindow = { lower = str; upper = str; }; };
    };
    systemd = {
      package = package;
      network.networks."*" = { matchConfig."*" = str; networkConfig."*" = str; };
      services."*" = service;
      sockets."*" = { description = str; wantedBy = listOf str; listenStreams = listOf str; socketConfig."*" = unit; };
      timers."*" = { description = str; wantedBy = listOf str; timerConfig."*" = unit; };
      tmpfiles.settings."*"."*"."*" = { argument = str; mode = str; user = str; group = str; };
      units."*" = { text = text; enable = bool; wantedBy = listOf str; };
      user.services."*" = service;
      user.timers."*" = { wantedBy = listOf str; timerConfig."*" = unit; unitConfig."*" = unit; };
    };
    time.timeZone = nullOr str;
    users = {
      groups."*".gid = int;
      users."*" = {
        isNormalUser = bool; isSystemUser = bool; description = str; extraGroups = listOf str; group = str; home = path; linger = bool; shell = either path package;
        uid = int; openssh.authorizedKeys.keys = listOf str;
      };
    };
    virtualisation = {
      docker = { enable = bool; package = package; }; podman = { enable = bool; package = package; dockerSocket.enable = bool; };
      oci-containers = {
        backend = enum [ "docker" "podman" ];
        containers."*" = {
          image = str; cmd = listOf str; entrypoint = str; environment = attrsOf str; environmentFiles = listOf path; ports = listOf str; volumes = listOf str;
          user = str; dependsOn = listOf str; extraOptions = listOf str;
        };
      };
    };
  };
in
builtins.foldl' (all: path: deep all (tree path)) ours modulesOfUser
