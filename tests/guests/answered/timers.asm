; Says that it is there, and has every timer of the board as fast as it goes, all interrupts taken,
; above a main loop that prints when it gets that far. With -DMASKED the processor has interrupts off.
%include "guest.inc"
main:
  mov al, '.'
  call tell
  hook 0x20, on_any
  hook 0x28, on_rtc
  hook 0x40, on_apic
  hook 0x41, on_apic
  hook 0x42, on_apic
  ; local APIC: software enable, timer periodic vector 0x40, count 1, divide by 1
  mov dword [0xfee000f0], 0x1ff
  mov dword [0xfee003e0], 0xb
  mov dword [0xfee00320], 0x20040
  mov dword [0xfee00380], 1
  ; HPET: three periodic timers of period 1
  mov dword [0xfed00010], 0
%assign i 0
%rep 3
  mov dword [0xfed00100 + i * 0x20], 0x0000004c | ((20 + i) << 9)
  mov dword [0xfed00108 + i * 0x20], 1
  mov dword [0xfed0010c + i * 0x20], 0
  mov dword [0xfed00108 + i * 0x20], 1
  ; I/O APIC entry
  mov dword [0xfec00000], 0x10 + 2 * (20 + i)
  mov dword [0xfec00010], 0x41 + (i & 1)
  mov dword [0xfec00000], 0x11 + 2 * (20 + i)
  mov dword [0xfec00010], 0
%assign i i + 1
%endrep
  mov dword [0xfed00010], 1
  ; RTC at 8192 Hz
  mov al, 0x0a
  out 0x70, al
  mov al, 0x23
  out 0x71, al
  mov al, 0x0b
  out 0x70, al
  mov al, 0x42
  out 0x71, al
  ; UART interrupts
  mov edx, 0x3f9
  mov al, 0x0f
  out dx, al
  mov ecx, 2
  call start_timer                ; PIT mode 2, count 2
  mov al, 0
  out 0x21, al
  out 0xa1, al
%ifndef MASKED
  sti
%endif
  xor ebx, ebx
.l:
  inc ebx
  test ebx, 0xfffff
  jnz .l
%ifdef MASKED
  mov dword [0xfee000b0], 0
%endif
  mov al, '.'
  call tell
  jmp .l
on_any:
  mov al, 0x20
  out 0x20, al
  ret
on_rtc:
  mov al, 0x0c
  out 0x70, al
  in al, 0x71
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  ret
on_apic:
  mov dword [0xfee000b0], 0
  ret
tell:
  mov edx, 0x3f8
  out dx, al
  mov al, 10
  out dx, al
  ret
