// NetworkCard: the network card of a board. See docs/networking.md.
#pragma once

#include <cstdint>

namespace ringshift {

enum class NetworkCard : uint8_t {
  Virtio,  // devices/virtio/virtio_net.h
  E1000,   // devices/network/e1000.h
  Ne2k,    // devices/network/ne2k_pci.h
};

}  // namespace ringshift
