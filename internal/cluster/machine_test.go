// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestMachineMustBeSane(t *testing.T) {
	t.Parallel()
	good := func() *Machine {
		return &Machine{Sandbox: "registry:5000/sovereign/pause:1.0.0", Registries: map[string]string{"registry:5000": "http://10.77.0.1:5000"},
			Hosts: map[string]netip.Addr{"registry": netip.MustParseAddr("10.77.0.1")}, Images: "/mnt/small"}
	}
	link := netip.MustParseAddr("10.77.0.1")
	if err := good().check(link); err != nil {
		t.Error(err)
	}
	for want, address := range map[string]netip.Addr{"not on 127.0.0.1": netip.MustParseAddr("127.0.0.1"), "not on ::1": netip.IPv6Loopback(), "not on invalid IP": {}} {
		if err := good().check(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q, found %v", want, err)
		}
	}
	for want, change := range map[string]func(*Machine){
		`"" is no image`:           func(m *Machine) { m.Sandbox = "" },
		`is no image`:              func(m *Machine) { m.Sandbox = "a\"\n[x]" },
		`registry "../x"`:          func(m *Machine) { m.Registries["../x"] = "http://a" },
		`found "file:///etc"`:      func(m *Machine) { m.Registries["a"] = "file:///etc" },
		`found "http://a/b\"c"`:    func(m *Machine) { m.Registries["a"] = `http://a/b"c` },
		`a name and its address`:   func(m *Machine) { m.Hosts["a\nb"] = link },
		`found "a" and invalid IP`: func(m *Machine) { m.Hosts["a"] = netip.Addr{} },
		`an absolute path`:         func(m *Machine) { m.Images = "images" },
	} {
		m := good()
		change(m)
		if err := m.check(link); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q, found %v", want, err)
		}
	}
}
