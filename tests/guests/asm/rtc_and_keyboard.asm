; exit: 0
; serial: in a file
;
; MC146818: update in progress, UF and PF polled and as interrupts, SET, rollover, 12-hour mode; 8042
; and keyboard: self-test, configuration, F0, F2, ED, EE, F3-F6, FE, FF; the mouse behind it.
; A reading that the host may have delayed is taken again.
%include "report.inc"
%macro CM 2
  mov al, %1
  out 0x70, al
  mov al, %2
  out 0x71, al
%endmacro
%macro CR 1
  mov al, %1
  out 0x70, al
  in al, 0x71
%endmacro
main:
  CR 0x0a
  and eax, 0x7f
  VAL eax, "A"
  CR 0x0b
  and eax, 0xff
  VAL eax, "B"
  CR 0x0d
  and eax, 0xff
  VAL eax, "D"
  NL
  ; UF polled without UIE: sets within 1.1 s
  CR 0x0c
  CM 0x0b, 0x02
  CR 0x0c
  call seconds
  mov ecx, 100000000
.u:
  CR 0x0c
  test al, 0x10
  jnz .u1
  loop .u
.u1:
  and eax, 0xf0
  and eax, 0x10
  VAL eax, "UF-polled"
  ; UIP seen before the next update, and 244 us or more before the second changes
  mov dword [tries], 5
.again:
  mov ecx, 100000000
.p:
  CR 0x0a
  test al, 0x80
  jnz .p1
  loop .p
.p1:
  and eax, 0x80
  mov [seen], eax
  CR 0
  mov bl, al
  CR 0x0c
  mov ecx, 100000000
.q:
  CR 0x0a
  test al, 0x80
  jz .q1
  loop .q
.q1:
  CR 0
  sub bl, al
  setne al
  movzx eax, al
  mov [changed], eax
  CR 0x0c
  and eax, 0x10
  mov [after], eax
  dec dword [tries]
  jz .enough
  test eax, eax
  jz .again
  cmp dword [changed], 0
  je .again
.enough:
  VAL [seen], "UIP-seen"
  VAL [changed], "second-changed-after-UIP"
  VAL [after], "UF-after"
  NL
  ; PF by rate 6 (1024 Hz), polled without PIE
  CM 0x0a, 0x26
  CR 0x0c
  call ms5
  CR 0x0c
  and eax, 0x40
  VAL eax, "PF-polled"
  mov ecx, 1000
.clear:
  CR 0x0c
  CR 0x0c
  and eax, 0x40
  loopnz .clear
  VAL eax, "PF-read-again"
  ; rate 0: no PF
  CM 0x0a, 0x20
  CR 0x0c
  call ms5
  CR 0x0c
  and eax, 0x40
  VAL eax, "PF-rate0"
  NL
  ; interrupts: UIE, then PIE
  mov al, 0x11
  out 0x20, al
  out 0xa0, al
  mov al, 0x20
  out 0x21, al
  mov al, 0x28
  out 0xa1, al
  mov al, 4
  out 0x21, al
  mov al, 2
  out 0xa1, al
  mov al, 1
  out 0x21, al
  out 0xa1, al
  mov al, 0xfb
  out 0x21, al
  mov al, 0xfe
  out 0xa1, al
  HOOK 0x28, irq8
  CM 0x0b, 0x12
  CR 0x0c
  mov dword [n8], 0
  sti
.h: hlt
  cmp dword [n8], 1
  jb .h
  cli
  VAL [c8], "UIE-regC"
  NL
  CM 0x0a, 0x26
  CM 0x0b, 0x42
  CR 0x0c
  mov dword [n8], 0
  rdtsc
  sti
.h2: hlt
  cmp dword [n8], 100
  jb .h2
  cli
  VAL [c8], "PIE-regC"
  ; not reading C: only one interrupt
  CM 0x0b, 0x02
  CR 0x0c
  HOOK 0x28, irq8noc
  mov dword [n8], 0
  CM 0x0b, 0x42
  sti
  call ms5
  call ms5
  cli
  VAL [n8], "without-reading-C"
  CM 0x0b, 0x02
  CR 0x0c
  NL
  ; SET freezes
  CM 0x0b, 0x82
  CM 0x00, 0x58
  CM 0x02, 0x59
  CM 0x04, 0x23
  CM 0x07, 0x28
  CM 0x08, 0x02
  CM 0x09, 0x24
  call ms1200
  CR 0
  and eax, 0xff
  VAL eax, "sec-while-SET"
  CR 0x0a
  and eax, 0x80
  VAL eax, "UIP-while-SET"
  CM 0x0b, 0x02
  call ms1200
  call ms1200
  CR 4
  and eax, 0xff
  VAL eax, "hour-after"
  CR 7
  and eax, 0xff
  VAL eax, "day-after-leap"
  CR 8
  and eax, 0xff
  VAL eax, "month"
  NL
  ; 12 hour mode
  CM 0x0b, 0x80
  CM 0x04, 0x92
  CM 0x02, 0x10
  CM 0x0b, 0x00
  CR 4
  and eax, 0xff
  VAL eax, "12h-noon"
  CM 0x0b, 0x06
  CR 4
  and eax, 0xff
  VAL eax, "hour-reg-after-binary-switch"
  CM 0x0b, 0x02
  NL
  ; keyboard controller
  mov al, 0xff
  out 0x21, al
  mov al, 0xad
  call cmd
  mov al, 0xa7
  call cmd
  call drain
  mov al, 0xaa
  call cmd
  call rd
  VAL eax, "self-test"
  mov al, 0xab
  call cmd
  call rd
  VAL eax, "port-test"
  mov al, 0x20
  call cmd
  call rd
  VAL eax, "config"
  mov al, 0x60
  call cmd
  mov al, 0x20
  call dat
  mov al, 0x20
  call cmd
  call rd
  VAL eax, "config2"
  mov al, 0xae
  call cmd
  NL
  mov al, 0xff
  call dat
  SAY "reset:"
  call all
  mov al, 0xf2
  call dat
  SAY "id:"
  call all
  mov al, 0xf0
  call dat
  SAY "f0:"
  call all
  mov al, 0
  call dat
  SAY "f0 00:"
  call all
  mov al, 0xf0
  call dat
  call all
  mov al, 1
  call dat
  SAY "f0 01:"
  call all
  mov al, 0xf0
  call dat
  call all
  mov al, 0
  call dat
  SAY "f0 00 after 01:"
  call all
  mov al, 0xf0
  call dat
  call all
  mov al, 4
  call dat
  SAY "f0 04:"
  call all
  mov al, 0xf6
  call dat
  SAY "f6:"
  call all
  mov al, 0xee
  call dat
  SAY "echo:"
  call all
  mov al, 0xed
  call dat
  SAY "ed:"
  call all
  mov al, 7
  call dat
  SAY "ed 07:"
  call all
  mov al, 0xf3
  call dat
  SAY "f3:"
  call all
  mov al, 0x20
  call dat
  SAY "f3 20:"
  call all
  mov al, 0xf5
  call dat
  SAY "f5:"
  call all
  mov al, 0xfe
  call dat
  SAY "resend:"
  call all
  mov al, 0x12
  call dat
  SAY "unknown 12:"
  call all
  mov al, 0xf4
  call dat
  SAY "f4:"
  call all
  mov al, 0xd2
  call cmd
  mov al, 0x5a
  call dat
  SAY "d2 5a:"
  call all
  mov al, 0xd3
  call cmd
  mov al, 0x5b
  call dat
  call ms5
  in al, 0x64
  and eax, 0xff
  VAL eax, "status-aux"
  SAY "d3 5b:"
  call all
  mov al, 0xd0
  call cmd
  call rd
  and eax, 3
  VAL eax, "output-port&3"
  mov al, 0xc0
  call cmd
  call rd
  VAL eax, "input-port"
  NL
  mov al, 0xa8
  call cmd
  mov al, 0xd4
  call cmd
  mov al, 0xff
  call dat
  SAY "mouse reset:"
  call all
  mov al, 0xd4
  call cmd
  mov al, 0xe9
  call dat
  SAY "mouse status:"
  call all
  mov al, 0xd4
  call cmd
  mov al, 0xf2
  call dat
  SAY "mouse id:"
  call all
  ret
irq8:
  add esp, 8
  push eax
  CR 0x0c
  movzx eax, al
  mov [c8], eax
  inc dword [n8]
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  pop eax
  iretd
irq8noc:
  add esp, 8
  push eax
  inc dword [n8]
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  pop eax
  iretd
n8: dd 0
c8: dd 0
seconds: ret
ms5:                               ; by the timer, 6 ms
  push eax
  push ecx
  in al, 0x61
  and al, 0xfd
  or al, 1
  out 0x61, al
  mov al, 0xb0
  out 0x43, al
  mov al, 0xfc
  out 0x42, al
  mov al, 0x1b
  out 0x42, al
.w: in al, 0x61
  test al, 0x20
  jz .w
  pop ecx
  pop eax
  ret
ms1200:
  push ecx
  mov ecx, 200
.l: call ms5
  loop .l
  pop ecx
  ret
cmd:
  push eax
.w: in al, 0x64
  test al, 2
  jnz .w
  pop eax
  out 0x64, al
  ret
dat:
  push eax
.w: in al, 0x64
  test al, 2
  jnz .w
  pop eax
  out 0x60, al
  ret
rd:
  push ecx
  mov ecx, 100
.w: in al, 0x64
  test al, 1
  jnz .g
  call ms5
  loop .w
  mov eax, 0xdead
  pop ecx
  ret
.g: in al, 0x60
  movzx eax, al
  pop ecx
  ret
drain:
  in al, 0x64
  test al, 1
  jz .d
  in al, 0x60
  jmp drain
.d: ret
all:                               ; everything that comes within 60 ms (600 ms the first time)
  push ecx
.m: mov ecx, 12
.w: in al, 0x64
  test al, 1
  jnz .g
  call ms5
  loop .w
  NL
  pop ecx
  ret
.g: in al, 0x60
  movzx eax, al
  VAL eax, ""
  jmp .m
tries: dd 0
seen: dd 0
changed: dd 0
after: dd 0
image_end:
