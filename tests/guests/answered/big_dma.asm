; Boot sector: the firmware configuration device is asked for 4 GiB of zeros, again and again. With
; -DSTRING the requests come from one string instruction, thousands at a time.
bits 16
org 0x7c00
  cli
  cld
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7c00
  mov dword [0x500], 0x02000000   ; read; all of this is big-endian
  mov dword [0x504], 0xffffffff
  mov dword [0x508], 0
  mov dword [0x50c], 0x00001000   ; to 1 MiB
  mov di, 0x8000
  mov cx, 0x2000
  mov eax, 0x00050000             ; the request is at 0x500
  rep stosd
  mov dx, 0x3f8
  mov al, '.'
  out dx, al
  mov al, 10
  out dx, al
.again:
  mov dx, 0x514
  xor eax, eax
  out dx, eax
  mov dx, 0x518
%ifdef STRING
  mov si, 0x8000
  mov cx, 0x2000
  rep outsd
%else
  mov eax, 0x00050000
  out dx, eax
%endif
  jmp .again
times 510 - ($ - $$) db 0
dw 0xaa55
